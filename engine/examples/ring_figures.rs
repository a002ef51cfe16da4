//! Prints what one ring does on loopback and on a file, per driver.
//!
//! `cargo run --release -p osmo-engine --example ring_figures`
#![allow(clippy::print_stdout)]

use std::io::Write;
use std::net::TcpListener;
use std::time::Instant;

use osmo_engine::IoChoice;
use osmo_engine::mem::{Pool, Slice};
use osmo_engine::ring::{Fd, Ring};

const BUFFER: usize = 256 << 10;
const STREAM: usize = 2 << 30;
const READS: u32 = 50_000;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Fallible<()> {
    for choice in [IoChoice::Uring, IoChoice::Epoll] {
        let (ring, report) = Ring::open(choice)?;
        let pool = Pool::new(8, BUFFER)?;
        println!("{}: {}", report.driver, report.reason);
        ring.block_on(async {
            reads(&ring, &pool).await?;
            let bytes = stream(&ring, &pool, None).await?;
            println!("  loopback receive      {bytes}");
            let file = Fd::new(std::fs::File::options().write(true).open("/dev/null")?.into());
            let bytes = stream(&ring, &pool, Some(&file)).await?;
            println!("  receive, write null   {bytes}");
            Fallible::Ok(())
        })?;
    }
    Ok(())
}

/// The way of one small operation, there and back.
async fn reads(ring: &Ring, pool: &Pool) -> Fallible<()> {
    let zero = Fd::new(std::fs::File::open("/dev/zero")?.into());
    let mut buffer = pool.lease(1).await.take().ok_or("no buffer")?;
    let began = Instant::now();
    for _ in 0..READS {
        let count;
        (count, buffer) = ring.read_at(&zero, buffer, 0..1, 0).await;
        count?;
    }
    println!("  1-byte read           {:?} each", began.elapsed() / READS);
    Ok(())
}

async fn stream(ring: &Ring, pool: &Pool, file: Option<&Fd>) -> Fallible<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let ours = ring.connect(listener.local_addr()?).await?;
    let (mut theirs, _) = listener.accept()?;
    let sender = std::thread::spawn(move || {
        let bytes = vec![7; 1 << 20];
        for _ in 0..STREAM >> 20 {
            theirs.write_all(&bytes)?;
        }
        std::io::Result::Ok(())
    });
    let mut buffer = pool.lease(1).await.take().ok_or("no buffer")?;
    let (began, mut total, mut receives) = (Instant::now(), 0, 0_u32);
    loop {
        let count;
        (count, buffer) = ring.recv(&ours, buffer, 0..BUFFER).await;
        let count = count?;
        if count == 0 {
            break;
        }
        total += count;
        receives += 1;
        if let Some(file) = file {
            let slice = Slice { buffer, start: 0, end: count };
            let (written, mut back) = ring.write_at(file, vec![slice], 0).await;
            written?;
            buffer = back.pop().ok_or("no slice")?.buffer;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    sender.join().map_err(|_| "the sender panicked")??;
    let gib = total as f64 / f64::from(1 << 30);
    let kib = total / 1024 / receives.max(1) as usize;
    Ok(format!("{:.2} GiB/s, {kib} KiB a receive", gib / seconds))
}
