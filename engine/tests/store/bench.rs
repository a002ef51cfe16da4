//! A store on a ring under each driver, and requests through small buffers.

use std::rc::Rc;
use std::sync::Arc;

use osmo_engine::access::Addressing;
use osmo_engine::mem::{Buffer, Lease, Pool, Slice};
use osmo_engine::net::Patience;
use osmo_engine::range::Range;
use osmo_engine::ring::Ring;
use osmo_engine::s3::{
    Contact, CredentialsSnapshot, Endpoint, GetHead, GetRequest, Proof, PutDone, PutRequest, Store,
};
use osmo_engine::{Error, IoChoice};

use crate::scripted::{Script, Server, answer};

pub(crate) const BUFFER_BYTES: usize = 32 << 10;
pub(crate) const CONTENT: &[u8] = b"The quick brown fox jumps over the lazy dog";

/// What a test has: a store on a ring, and buffers.
pub(crate) struct Bench {
    pub(crate) ring: Ring,
    pub(crate) store: Store,
    pub(crate) lease: Rc<Lease>,
}

impl Bench {
    pub(crate) fn buffer(&self) -> Buffer {
        self.lease.take().expect("a free buffer")
    }
}

/// Runs the test under every driver, with a fresh server each; answers the
/// request heads.
pub(crate) fn each_driver(
    scripts: impl Fn() -> Vec<Script>,
    test: impl AsyncFn(&Bench),
) -> Vec<Vec<String>> {
    let mut heads = Vec::new();
    for choice in [IoChoice::Uring, IoChoice::Epoll] {
        let ring = match Ring::open(choice) {
            Ok((ring, _)) => ring,
            Err(fault) if std::env::var_os("OSMO_TEST_STRICT").is_none() => {
                skipped(&format!("{choice:?}: {fault}"));
                continue;
            }
            Err(fault) => panic!("{choice:?}: {fault}"),
        };
        let server = Server::start(scripts());
        let endpoint = Endpoint::new(&server.url(), "us-east-1", Addressing::Path).unwrap();
        let pool = Pool::new(4, BUFFER_BYTES).unwrap();
        ring.block_on(async {
            let credentials = CredentialsSnapshot::fixed("id", "secret", None);
            let store = Store::new(ring.clone(), Contact::new(Arc::new(endpoint), credentials));
            let bench = Bench { ring: ring.clone(), store, lease: Rc::new(pool.lease(4).await) };
            test(&bench).await;
        });
        drop(ring);
        assert_eq!(pool.free(), 4, "every buffer came back");
        heads.push(server.heads());
        server.finish();
    }
    heads
}

#[allow(clippy::print_stderr, reason = "a test that does not run says so")]
fn skipped(reason: &str) {
    eprintln!("skipped: {reason}");
}

pub(crate) fn get_request(range: Option<(u64, u64)>) -> GetRequest {
    GetRequest {
        bucket: "bkt".into(),
        key: "k y".into(),
        range: range.map(|(start, end)| Range::new(start, end).unwrap()),
        etag: None,
    }
}

/// Gets into pieces of `piece` bytes.
pub(crate) async fn get(
    bench: &Bench,
    request: &GetRequest,
    piece: usize,
) -> Result<(GetHead, Vec<u8>), Error> {
    let mut body = match bench.store.get(request, bench.buffer()).await {
        Ok(body) => body,
        Err((fault, scratch)) => {
            assert!(scratch.is_some());
            return Err(fault);
        }
    };
    let head = body.head().clone();
    let mut content = Vec::new();
    let mut buffer = bench.buffer();
    loop {
        let (read, back) = body.read(buffer, 5..5 + piece).await;
        buffer = back;
        match read {
            Ok(0) => break,
            Ok(bytes) => content.extend_from_slice(&buffer[5..5 + bytes]),
            Err(fault) => {
                drop(body.finish());
                return Err(fault);
            }
        }
    }
    drop(body.finish());
    Ok((head, content))
}

pub(crate) fn put_request(bytes: u64) -> PutRequest {
    PutRequest {
        bucket: "bkt".into(),
        key: "k".into(),
        part: Some(("up/load".into(), 3)),
        body_bytes: bytes,
        proof: Proof::Header("AAAAAAAAAAA=".to_owned()),
        content_type: Some("text/plain".to_owned()),
        only_new: false,
    }
}

/// Puts `count` buffers full of sevens.
pub(crate) async fn put(
    bench: &Bench,
    request: &PutRequest,
    count: usize,
) -> Result<PutDone, Error> {
    let mut put = bench.store.put(request, bench.buffer()).await.map_err(|(fault, _)| fault)?;
    let mut buffer = bench.buffer();
    for _ in 0..count {
        buffer.fill(7);
        let (written, back) = put.write(Slice { buffer, start: 0, end: BUFFER_BYTES }).await;
        buffer = back;
        written?;
    }
    put.finish().await.0
}

pub(crate) fn partial(range: &str, body: &[u8]) -> Vec<u8> {
    answer("206 Partial Content", &format!("Content-Range: {range}\r\nETag: \"e\"\r\n"), body)
}

/// Limits short enough to reach; only `limited` decides, the rest is long.
pub(crate) fn hurried(bench: &Bench, limited: impl Fn(&mut Patience)) -> Bench {
    let mut patience = Patience::DEFAULT;
    limited(&mut patience);
    let store = bench.store.clone().with_patience(patience);
    Bench { ring: bench.ring.clone(), store, lease: Rc::clone(&bench.lease) }
}
