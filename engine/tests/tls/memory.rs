//! What many connections cost: a measurement, run by hand.

use std::rc::Rc;
use std::sync::Arc;

use osmo_engine::IoChoice;
use osmo_engine::access::Addressing;
use osmo_engine::mem::Pool;
use osmo_engine::ring::Ring;
use osmo_engine::s3::{Contact, CredentialsSnapshot, Endpoint, GetRequest, Store};

use crate::bench::{BUFFER_BYTES, Bench, https, network, trusting};
use crate::pki::Pki;
use crate::server::Server;

const CONNECTIONS: usize = 128;

/// Bytes that `/proc/self/status` says under `name`.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Gets, and forgets; the bytes that came.
async fn count(bench: &Bench, key: &str) -> usize {
    let request = GetRequest { bucket: "bkt".into(), key: key.into(), range: None, etag: None };
    let mut body = bench.store.get(&request, bench.buffer()).await.ok().unwrap();
    let (mut buffer, mut bytes) = (bench.buffer(), 0);
    loop {
        let (read, back) = body.read(buffer, 0..BUFFER_BYTES).await;
        buffer = back;
        match read.unwrap() {
            0 => break,
            some => bytes += some,
        }
    }
    drop(body.finish());
    bytes
}

#[test]
#[ignore = "a measurement: cargo test -p osmo-engine --test tls -- --ignored --nocapture memory"]
#[allow(clippy::print_stdout, reason = "a measurement is read")]
fn a_hundred_and_twenty_eight_connections() {
    let Some(pki) = Pki::new() else { return };
    let server = Server::start(&pki.honest(), "1.3", "");
    let (ring, _) = Ring::open(IoChoice::Auto).unwrap();
    // As an engine has it: 24 MiB.
    let pool = Pool::new(384, BUFFER_BYTES).unwrap();
    let endpoint = Endpoint::new(&https(server.port), "us-east-1", Addressing::Path).unwrap();
    let credentials = CredentialsSnapshot::fixed("id", "secret", None);
    let contact = Contact {
        network: network(&trusting(&pki.ca())),
        ..Contact::new(Arc::new(endpoint), credentials)
    };
    let store = Store::new(ring.clone(), contact);
    let before = status("VmRSS:");
    let arrived = Rc::new(std::cell::Cell::new(0));
    ring.block_on(async {
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (ring, store, pool) = (ring.clone(), store.clone(), pool.clone());
                let arrived = Rc::clone(&arrived);
                ring.clone().spawn(async move {
                    let lease = pool.lease(3).await;
                    let bench = Bench { ring, store, lease };
                    for _ in 0..4 {
                        assert_eq!(count(&bench, "body-300000").await, 300_000);
                    }
                    arrived.set(arrived.get() + 1);
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
    });
    assert_eq!(arrived.get(), CONNECTIONS);
    let mib = |bytes: u64| bytes >> 20;
    println!(
        "{CONNECTIONS} connections: {} MiB before, {} MiB after (all at rest), {} MiB at most; \
         {} MiB of them are the pool",
        mib(before),
        mib(status("VmRSS:")),
        mib(status("VmHWM:")),
        mib(384 * BUFFER_BYTES as u64),
    );
}
