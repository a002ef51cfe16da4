//! A store over TLS on a ring under each driver.

use std::sync::Arc;

use osmo_engine::access::{Addressing, Environment};
use osmo_engine::config::Access;
use osmo_engine::mem::{Buffer, Lease, Pool, Slice};
use osmo_engine::net::tls::Tls;
use osmo_engine::net::{Network, Patience};
use osmo_engine::ring::Ring;
use osmo_engine::s3::{
    Contact, CredentialsSnapshot, Endpoint, GetRequest, Proof, PutDone, PutRequest, Store,
};
use osmo_engine::{Error, IoChoice};

use crate::pki::skip;

pub(crate) const BUFFER_BYTES: usize = 64 << 10;
const BUFFERS: usize = 4;

pub(crate) struct Bench {
    pub(crate) ring: Ring,
    pub(crate) store: Store,
    pub(crate) lease: Lease,
}

impl Bench {
    pub(crate) fn buffer(&self) -> Buffer {
        self.lease.take().expect("a free buffer")
    }
}

pub(crate) fn trusting(ca: &std::path::Path) -> Access {
    Access { ca_bundle: Some(ca.to_owned()), ..Access::default() }
}

pub(crate) fn network(access: &Access) -> Network {
    let tls = Tls::open_in(access, &Environment::default()).unwrap();
    Network { tls, ..Network::default() }
}

/// Runs the test under every driver, each with sessions of its own to resume.
pub(crate) fn each_driver(url: &str, access: &Access, test: impl AsyncFn(&Bench)) {
    patiently(url, access, Patience::DEFAULT, test);
}

pub(crate) fn patiently(
    url: &str,
    access: &Access,
    patience: Patience,
    test: impl AsyncFn(&Bench),
) {
    for choice in [IoChoice::Uring, IoChoice::Epoll] {
        let ring = match Ring::open(choice) {
            Ok((ring, _)) => ring,
            Err(fault) => {
                skip(&format!("{choice:?}: {fault}"));
                continue;
            }
        };
        let pool = Pool::new(BUFFERS, BUFFER_BYTES).unwrap();
        let endpoint = Endpoint::new(url, "us-east-1", Addressing::Path).unwrap();
        let credentials = CredentialsSnapshot::fixed("id", "secret", None);
        let contact =
            Contact { network: network(access), ..Contact::new(Arc::new(endpoint), credentials) };
        ring.block_on(async {
            let store = Store::new(ring.clone(), contact).with_patience(patience);
            let bench = Bench { ring: ring.clone(), store, lease: pool.lease(BUFFERS).await };
            test(&bench).await;
        });
        drop(ring);
        assert_eq!(pool.free(), BUFFERS, "every buffer came back");
    }
}

pub(crate) fn https(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

/// Gets through pieces of `piece` bytes; entity tag and content.
pub(crate) async fn get(
    bench: &Bench,
    key: &str,
    piece: usize,
) -> Result<(String, Vec<u8>), Error> {
    let request = GetRequest { bucket: "bkt".into(), key: key.into(), range: None, etag: None };
    let mut body = bench.store.get(&request, bench.buffer()).await.map_err(|(fault, _)| fault)?;
    let tag = body.head().etag.clone().unwrap_or_default();
    let (mut content, mut buffer) = (Vec::new(), bench.buffer());
    loop {
        let (read, back) = body.read(buffer, 7..7 + piece).await;
        buffer = back;
        match read? {
            0 => break,
            bytes => content.extend_from_slice(&buffer[7..7 + bytes]),
        }
    }
    drop(body.finish());
    Ok((tag, content))
}

/// What the server sends: byte i is i % 251.
pub(crate) fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// Puts `count` buffers full of sevens.
pub(crate) async fn put(bench: &Bench, key: &str, count: usize) -> Result<PutDone, Error> {
    let request = PutRequest {
        bucket: "bkt".into(),
        key: key.into(),
        part: None,
        body_bytes: (count * BUFFER_BYTES) as u64,
        proof: Proof::Header("AAAAAAAAAAA=".to_owned()),
        content_type: None,
        only_new: false,
    };
    let put = bench.store.put(&request, bench.buffer()).await;
    let mut put = put.map_err(|(fault, _)| fault)?;
    let mut buffer = bench.buffer();
    for _ in 0..count {
        buffer.fill(7);
        let (written, back) = put.write(Slice { buffer, start: 0, end: BUFFER_BYTES }).await;
        buffer = back;
        written?;
    }
    put.finish().await.0
}
