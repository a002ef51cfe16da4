//! An answer that nobody has asked for yet.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::TcpListener;

use super::*;
use crate::IoChoice;
use crate::mem::Pool;
use crate::net::http1::Method;

/// A server that speaks first, and what becomes of a request to it.
fn spoken_to_first(test: impl AsyncFn(&Rc<Origin>, Connection, RequestHead, Buffer)) {
    for choice in [IoChoice::Uring, IoChoice::Epoll] {
        let Ok((ring, _)) = Ring::open(choice) else { continue };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let network = Network::default();
        let patience = Patience::DEFAULT;
        let origin = Origin::new(ring.clone(), network, "127.0.0.1", port, Wire::Plain, patience);
        ring.block_on(async {
            let connection = origin.connect().await.unwrap();
            let (mut peer, _) = listener.accept().unwrap();
            peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            // Loopback delivers before `write` returns.
            assert!(!connection.transport().is_at_rest());
            let pool = Pool::new(1, 4_096).unwrap();
            let lease = pool.lease(1).await;
            let head = RequestHead::new(Method::Get, "/k").unwrap().end();
            test(&origin, connection, head, lease.take().unwrap()).await;
        });
    }
}

#[test]
fn what_is_said_at_rest_answers_no_request() {
    spoken_to_first(async |origin, connection, head, scratch| {
        let answer = origin.exchange(&connection.again(), &head, scratch).await;
        assert!(matches!(answer, Err((NetError::Unanswered, _))));
    });
}

#[test]
fn a_connection_whose_request_was_not_sent_does_not_come_to_rest() {
    spoken_to_first(async |origin, connection, head, scratch| {
        let answer = origin.exchange(&connection, &head, scratch).await;
        let response = answer.map_err(|(fault, _)| fault).unwrap();
        assert_eq!(response.head().status, 200);
        drop(response.finish());
        assert!(origin.idle.borrow().is_empty());
    });
}

#[test]
fn connections_that_rested_too_long_do_not_stay_open() {
    let (ring, _) = Ring::open(IoChoice::Epoll).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let patience = Patience { idle: std::time::Duration::ZERO, ..Patience::DEFAULT };
    let network = Network::default();
    let origin = Origin::new(ring.clone(), network, "127.0.0.1", port, Wire::Plain, patience);
    ring.block_on(async {
        let (one, two) = (origin.connect().await.unwrap(), origin.connect().await.unwrap());
        origin.rest(&one);
        origin.rest(&two);
        assert_eq!(origin.idle.borrow().len(), 1);
    });
}
