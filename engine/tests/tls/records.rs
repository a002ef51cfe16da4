//! Bytes over TLS: versions, sessions, records of every shape, cut streams.

use std::cell::RefCell;

use osmo_engine::net::tls::HANDSHAKES_MAX;
use osmo_engine::{ErrorKind, RetryClass};

use crate::bench::{BUFFER_BYTES, content, each_driver, get, https, put, trusting};
use crate::pki::Pki;
use crate::server::{Operator, Server};

#[test]
fn both_versions_move_bytes_and_resume_sessions() {
    let Some(pki) = Pki::new() else { return };
    let issued = pki.honest();
    for version in ["1.2", "1.3"] {
        let server = Server::start(&issued, version, "");
        let url = format!("https://localhost:{}", server.port);
        each_driver(&url, &trusting(&pki.ca()), async |bench| {
            let mut tags = Vec::new();
            for _ in 0..3 {
                let (tag, body) = get(bench, "close-100000", 50_000).await.unwrap();
                assert!(body == content(100_000));
                tags.push(tag);
            }
            let tag =
                |reused| format!("\"TLSv{version} reused={reused} sni=localhost alpn=http/1.1\"");
            assert_eq!(tags, [tag("False"), tag("True"), tag("True")]);
        });
    }
}

#[test]
fn records_of_every_shape_are_read() {
    let Some(pki) = Pki::new() else { return };
    let issued = pki.honest();
    for version in ["1.2", "1.3"] {
        let server = Server::start(&issued, version, "");
        each_driver(&https(server.port), &trusting(&pki.ca()), async |bench| {
            // All on one connection, which keeps nothing from one to the next.
            for (key, bytes, piece) in [
                ("body-3000000", 3_000_000, BUFFER_BYTES - 7),
                ("body-300000", 300_000, 1_000),
                ("body-20000", 20_000, 1),
                ("body-0", 0, 100),
                ("tiny-3000", 3_000, BUFFER_BYTES - 7),
                ("tiny-300", 300, 10),
                ("split-200000", 200_000, BUFFER_BYTES - 7),
                ("split-100000", 100_000, 100),
                ("body-100000", 100_000, 16 << 10),
            ] {
                let (tag, body) = get(bench, key, piece).await.unwrap();
                assert!(body == content(bytes), "{key} in {piece}");
                // The first and only handshake of this connection.
                assert!(tag.contains("reused=False sni=None"), "{tag}");
            }
        });
    }
}

#[test]
fn bodies_are_put() {
    let Some(pki) = Pki::new() else { return };
    let issued = pki.honest();
    for version in ["1.2", "1.3"] {
        let server = Server::start(&issued, version, "");
        each_driver(&https(server.port), &trusting(&pki.ca()), async |bench| {
            // The first on a fresh connection, where tickets come meanwhile.
            for _ in 0..2 {
                let done = put(bench, "k", 100).await.unwrap();
                // head -c 6553600 /dev/zero | tr '\0' '\7' | sha256sum
                let sum = "\"fa4cd86eecfc3c13b5cface3e6b7269a5a1b6c53710509815b22a2ee86cde5b5\"";
                assert_eq!(done.etag.as_deref(), Some(sum));
            }
            let done = put(bench, "k", 0).await.unwrap();
            // sha256sum < /dev/null
            let sum = "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"";
            assert_eq!(done.etag.as_deref(), Some(sum));
        });
    }
}

#[test]
fn a_stream_that_is_cut_is_an_error() {
    let Some(pki) = Pki::new() else { return };
    let server = Server::start(&pki.honest(), "1.3", "");
    each_driver(&https(server.port), &trusting(&pki.ca()), async |bench| {
        let cut = get(bench, "cut-100000", 1_000).await.unwrap_err();
        assert_eq!((cut.kind(), cut.class()), (ErrorKind::Unreachable, RetryClass::Retry));
        assert!(cut.to_string().contains("without a close_notify"), "{cut}");
        let ended = get(bench, "ended-100000", 1_000).await.unwrap_err();
        assert_eq!((ended.kind(), ended.class()), (ErrorKind::Unreachable, RetryClass::Retry));
        assert!(ended.to_string().contains("50000 bytes"), "{ended}");
    });
}

#[test]
fn an_early_refusal_is_found_among_tickets() {
    let Some(pki) = Pki::new() else { return };
    let server = Server::start(&pki.honest(), "1.3", "");
    each_driver(&https(server.port), &trusting(&pki.ca()), async |bench| {
        let fault = put(bench, "refused", 2_000).await.unwrap_err();
        assert_eq!(fault.kind(), ErrorKind::Denied, "{fault}");
        assert!(fault.to_string().contains("Access Denied"), "{fault}");
    });
}

#[test]
fn a_peer_that_speaks_or_leaves_at_rest_loses_its_connection() {
    let Some(pki) = Pki::new() else { return };
    let issued = pki.honest();
    for (version, key) in
        [("1.2", "stray-9"), ("1.3", "stray-9"), ("1.2", "leave-9"), ("1.3", "leave-9")]
    {
        let server = Server::start(&issued, version, "");
        each_driver(&https(server.port), &trusting(&pki.ca()), async |bench| {
            for turn in 0..3 {
                let (tag, body) = get(bench, key, 1_000).await.unwrap();
                assert_eq!(body, content(9));
                // A session that is resumed is a connection that is new.
                let reused = if turn == 0 { "reused=False" } else { "reused=True" };
                assert!(tag.contains(reused), "{turn}: {tag}");
            }
        });
    }
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nThe quick";

/// The server takes one connection at a time, so that a second one would wait
/// for ever: both answers come over the first.
#[test]
fn keys_are_updated_within_an_answer_and_at_rest() {
    let Some(pki) = Pki::new() else { return };
    let issued = pki.honest();
    let operator = Operator::start(&issued);
    let port = operator.port;
    let operator = RefCell::new(Some(operator));
    each_driver(&https(port), &trusting(&pki.ca()), async |bench| {
        for _ in 0..3 {
            let mut there = operator.borrow_mut().take().unwrap();
            let serving = std::thread::spawn(move || {
                there.until("\r\n\r\n");
                there.update_keys();
                there.say(ANSWER);
                there
            });
            let (_, body) = get(bench, "k", 1_000).await.unwrap();
            assert_eq!(body, b"The quick");
            let mut there = serving.join().unwrap();
            there.update_keys();
            *operator.borrow_mut() = Some(there);
        }
    });
}

#[test]
fn a_connection_says_goodbye() {
    let Some(pki) = Pki::new() else { return };
    let issued = pki.honest();
    let operator = Operator::start(&issued);
    let port = operator.port;
    let operator = RefCell::new(Some(operator));
    each_driver(&https(port), &trusting(&pki.ca()), async |bench| {
        let mut there = operator.borrow_mut().take().unwrap();
        let serving = std::thread::spawn(move || {
            there.until("\r\n\r\n");
            there.say(&ANSWER.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
            // It says ERROR of a stream that ends otherwise.
            there.until("DONE");
            there
        });
        assert_eq!(get(bench, "k", 1_000).await.unwrap().1, b"The quick");
        *operator.borrow_mut() = Some(serving.join().unwrap());
    });
}

#[test]
fn more_handshakes_than_have_buffers_wait_for_each_other() {
    let Some(pki) = Pki::new() else { return };
    let server = Server::start(&pki.honest(), "1.3", "");
    let (url, access) = (https(server.port), trusting(&pki.ca()));
    each_driver(&url, &access, async |bench| {
        let network = crate::bench::network(&access);
        let many = HANDSHAKES_MAX * 2 + 3;
        let tasks: Vec<_> = (0..many)
            .map(|_| {
                let (ring, tls) = (bench.ring.clone(), network.tls.clone());
                let address = ([127, 0, 0, 1], server.port).into();
                bench.ring.spawn(async move {
                    let fd = ring.connect(address).await.unwrap();
                    let patience = osmo_engine::net::Patience::DEFAULT;
                    tls.connect(&ring, fd, "127.0.0.1", &patience).await.map(drop)
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}
