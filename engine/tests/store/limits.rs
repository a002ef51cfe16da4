//! Every wait ends, and gives its buffers back.

use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use osmo_engine::access::Addressing;
use osmo_engine::mem::Pool;
use osmo_engine::ring::Ring;
use osmo_engine::s3::{Contact, CredentialsSnapshot, Endpoint, Store};
use osmo_engine::{ErrorKind, IoChoice, RetryClass};

use crate::bench::{
    BUFFER_BYTES, Bench, CONTENT, each_driver, get, get_request, hurried, put, put_request,
};
use crate::scripted::{Peer, Server, answer, script};

#[test]
fn a_store_that_says_nothing_is_given_up_and_the_buffers_come_back() {
    const SHORT: Duration = Duration::from_millis(20);
    each_driver(
        || {
            vec![
                // Silent after the request.
                script(|peer: &mut Peer| {
                    peer.head();
                    peer.closed();
                }),
                // Silent within the head.
                script(|peer: &mut Peer| {
                    peer.head();
                    peer.send("HTTP/1.1 200");
                    peer.closed();
                }),
                // Silent within the body.
                script(|peer: &mut Peer| {
                    peer.head();
                    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\nThe");
                    peer.closed();
                }),
                // Silent within an explanation.
                script(|peer: &mut Peer| {
                    peer.head();
                    peer.send("HTTP/1.1 404 N\r\nContent-Length: 43\r\n\r\n<Code>NoSuchKey</Code>");
                    peer.closed();
                }),
            ]
        },
        async |bench| {
            let first = hurried(bench, |patience| patience.first_byte = SHORT);
            let fault = get(&first, &get_request(None), 100).await.unwrap_err();
            assert_eq!(fault.class(), RetryClass::Retry);
            assert!(fault.to_string().contains("no byte of the answer came"), "{fault}");
            let later = hurried(bench, |patience| patience.stall = SHORT);
            for words in ["no end of the answer's head came", "no byte of the answer came"] {
                let fault = get(&later, &get_request(None), 100).await.unwrap_err();
                assert_eq!(fault.class(), RetryClass::Retry);
                assert!(fault.to_string().contains(words), "{fault}");
            }
            let fault = get(&later, &get_request(None), 100).await.unwrap_err();
            assert_eq!(fault.kind(), ErrorKind::NotFound, "{fault}");
        },
    );
}

#[test]
fn a_head_that_comes_by_the_byte_is_given_up() {
    each_driver(
        || {
            vec![script(|peer: &mut Peer| {
                peer.head();
                peer.send("HTTP/1.1 200 OK\r\nX: ");
                for _ in 0..100 {
                    // Its pace: each byte alone comes well within the limit.
                    std::thread::sleep(Duration::from_millis(5));
                    peer.send_some("x");
                }
            })]
        },
        async |bench| {
            let bench = hurried(bench, |patience| patience.stall = Duration::from_millis(100));
            let fault = get(&bench, &get_request(None), 100).await.unwrap_err();
            assert_eq!(fault.class(), RetryClass::Retry);
            assert!(fault.to_string().contains("no end of the answer's head"), "{fault}");
        },
    );
}

#[test]
fn a_store_that_takes_nothing_is_given_up() {
    let told = Arc::new(Barrier::new(2));
    each_driver(
        || {
            let told = Arc::clone(&told);
            vec![script(move |peer: &mut Peer| {
                peer.head();
                told.wait();
            })]
        },
        async |bench| {
            let bench = hurried(bench, |patience| {
                patience.glance = Duration::from_millis(5);
                patience.stall = Duration::from_millis(40);
            });
            let request = put_request(2_000 * BUFFER_BYTES as u64);
            let fault = put(&bench, &request, 2_000).await;
            told.wait();
            let fault = fault.unwrap_err();
            assert_eq!(fault.class(), RetryClass::Retry);
            assert!(fault.to_string().contains("took no byte"), "{fault}");
        },
    );
}

#[test]
fn a_connection_that_rested_too_long_is_not_used_again() {
    let once = || {
        script(|peer: &mut Peer| {
            peer.head();
            peer.send(answer("200 OK", "", CONTENT));
            peer.closed();
        })
    };
    each_driver(
        || vec![once(), once()],
        async |bench| {
            let bench = hurried(bench, |patience| patience.idle = Duration::ZERO);
            for _ in 0..2 {
                get(&bench, &get_request(None), 100).await.unwrap();
            }
        },
    );
}

#[test]
fn nobody_at_the_endpoint_is_unreachable_and_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for choice in [IoChoice::Auto, IoChoice::Epoll] {
        let (ring, _) = Ring::open(choice).unwrap();
        let pool = Pool::new(4, BUFFER_BYTES).unwrap();
        let remedies = [("127.0.0.1", "check the endpoint URL"), ("nowhere.invalid", "check the ")];
        for (host, remedy) in remedies {
            let url = format!("http://{host}:{}", free.port());
            let endpoint = Endpoint::new(&url, "us-east-1", Addressing::Path).unwrap();
            let fault = ring.block_on(async {
                let anonymous = CredentialsSnapshot::anonymous();
                let store = Store::new(ring.clone(), Contact::new(Arc::new(endpoint), anonymous));
                let lease = Rc::new(pool.lease(4).await);
                let bench = Bench { ring: ring.clone(), store, lease };
                get(&bench, &get_request(None), 100).await.unwrap_err()
            });
            assert_eq!(fault.kind(), ErrorKind::Unreachable);
            assert!(fault.to_string().contains(&url), "{fault}");
            assert!(fault.to_string().contains(remedy), "{fault}");
        }
    }
}

#[test]
fn a_read_that_is_dropped_spoils_its_connection_and_nothing_else() {
    each_driver(
        || {
            vec![
                script(|peer: &mut Peer| {
                    peer.head();
                    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\nThe");
                    peer.closed();
                }),
                script(|peer: &mut Peer| {
                    peer.head();
                    peer.send(answer("200 OK", "", CONTENT));
                    peer.closed();
                }),
            ]
        },
        async |bench| {
            let request = get_request(None);
            let mut body = bench.store.get(&request, bench.buffer()).await.ok().unwrap();
            let (first, buffer) = body.read(bench.buffer(), 0..100).await;
            assert_eq!((first.unwrap(), &buffer[..3]), (3, &b"The"[..]));
            let dropped = bench.ring.within(Duration::from_millis(5), body.read(buffer, 0..100));
            assert!(dropped.await.is_none());
            drop(body.finish());
            let (_, content) = get(bench, &request, 100).await.unwrap();
            assert_eq!(content, CONTENT);
        },
    );
}

#[test]
fn every_address_of_a_name_is_tried() {
    // `localhost` has addresses of both families on most machines, and the
    // server listens at one of them only.
    for choice in [IoChoice::Auto, IoChoice::Epoll] {
        let server = Server::start(vec![script(|peer: &mut Peer| {
            for _ in 0..2 {
                peer.head();
                peer.send(answer("200 OK", "", CONTENT));
            }
            peer.closed();
        })]);
        let url = server.url().replace("127.0.0.1", "localhost");
        let endpoint = Endpoint::new(&url, "us-east-1", Addressing::Path).unwrap();
        let (ring, _) = Ring::open(choice).unwrap();
        let pool = Pool::new(4, BUFFER_BYTES).unwrap();
        ring.block_on(async {
            let anonymous = CredentialsSnapshot::anonymous();
            let store = Store::new(ring.clone(), Contact::new(Arc::new(endpoint), anonymous));
            let lease = Rc::new(pool.lease(4).await);
            let bench = Bench { ring: ring.clone(), store, lease };
            for _ in 0..2 {
                let (_, content) = get(&bench, &get_request(None), 100).await.unwrap();
                assert_eq!(content, CONTENT);
            }
        });
        server.finish();
    }
}
