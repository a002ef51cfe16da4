//! What a sidecar costs while its task runs and says nothing:
//! `cargo test --release -p osmo-ctrl --test idle -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use common::{Agent, Service, Sidecar, TOKEN};
use osmo_protocol::socket::Frame;

const LOOK: Duration = Duration::from_secs(30);
/// Connecting, token and the first lines are over by then.
const SETTLE: Duration = Duration::from_secs(3);

/// Passes connections on to `port` and counts their bytes, both ways.
fn counting(port: u16) -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let near = near.unwrap();
            let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            let (up, down) = (Arc::clone(&counted), Arc::clone(&counted));
            std::thread::spawn(move || pass(near, far, &up));
            std::thread::spawn(move || pass(far_too, near_too, &down));
        }
    });
    (own, count)
}

fn pass(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = [0; 8192];
    while let Ok(got @ 1..) = from.read(&mut buffer) {
        count.fetch_add(got as u64, Relaxed);
        if to.write_all(&buffer[..got]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// CPU ticks of a process, from proc_pid_stat(5).
fn ticks(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Resident KiB: all, and of that file pages and anonymous ones.
fn resident(id: u32) -> [u64; 3] {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    ["VmRSS:", "RssFile:", "RssAnon:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap()
    })
}

#[test]
#[ignore = "a measurement of half a minute; its command is above"]
fn pod_idle() {
    let service = Service::start(200, TOKEN, &[]);
    let (port, wire) = counting(service.port);
    let sidecar = Sidecar::start(port, &[]);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    std::thread::sleep(SETTLE);
    let id = sidecar.id();
    let (ticks_before, wire_before) = (ticks(id), wire.load(Relaxed));
    std::thread::sleep(LOOK);
    let [rss, file, anon] = resident(id);
    // A tick is 10 ms on every Linux that we run on.
    let cpu = (ticks(id) - ticks_before) * 10;
    let (seconds, wire) = (LOOK.as_secs(), wire.load(Relaxed) - wire_before);
    println!(
        "idle for {seconds} s: RSS {rss} KiB ({file} of files, {anon} anonymous), CPU {cpu} ms, \
         payload on the wire {wire} B"
    );
    agent.say(&Frame::ExecFinished);
    assert_eq!(sidecar.end().0, Some(0));
    assert!(rss <= 12 << 10, "RSS {rss} KiB");
    assert!(wire <= seconds << 10, "{wire} B");
    assert!(u128::from(cpu) * 1000 <= LOOK.as_millis(), "CPU {cpu} ms");
}
