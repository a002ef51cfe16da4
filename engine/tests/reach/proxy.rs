//! Shards through proxies: requests in absolute form, and CONNECT.

use std::sync::Arc;
use std::time::Duration;

use osmo_engine::access::Addressing;
use osmo_engine::mem::{Pool, Slice};
use osmo_engine::net::dial::Dial;
use osmo_engine::net::tls::Wire;
use osmo_engine::net::{NetError, Network, Patience};
use osmo_engine::ring::Ring;
use osmo_engine::s3::{
    Contact, CredentialsSnapshot, Endpoint, GetRequest, Proof, PutRequest, Store,
};
use osmo_engine::{Error, ErrorKind, RetryClass};

use crate::scripted::{Peer, Script, Server, answer, refusal, script};
use crate::support::{each_driver, each_driver_with, network};

/// RFC 7617's own example, as a URL and as a field.
const ALADDIN: &str = "Aladdin:open%20sesame@";
const ALADDIN_FIELD: &str = "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";

const ENDPOINTS: [&str; 3] = ["store.test:9000", "store.test", "[2001:db8::1]:9000"];

fn through(server: &Server, user: &str) -> Network {
    let proxy = server.url().replace("http://", &format!("http://{user}"));
    network("", &[("http_proxy", &proxy), ("HTTPS_PROXY", &proxy)])
}

fn get_request() -> GetRequest {
    GetRequest { bucket: "bkt".into(), key: "k y".into(), range: None, etag: None }
}

async fn get(ring: &Ring, network: Network, url: &str) -> Result<Vec<u8>, Error> {
    let endpoint = Endpoint::new(url, "us-east-1", Addressing::Path).unwrap();
    let credentials = CredentialsSnapshot::fixed("id", "secret", None);
    let contact = Contact { network, ..Contact::new(Arc::new(endpoint), credentials) };
    let store = Store::new(ring.clone(), contact);
    let pool = Pool::new(2, 32 << 10).unwrap();
    let lease = pool.lease(2).await;
    let body = store.get(&get_request(), lease.take().unwrap()).await;
    let mut body = body.map_err(|(fault, _)| fault)?;
    let (mut content, mut buffer) = (Vec::new(), lease.take().unwrap());
    loop {
        let into = 0..buffer.len();
        let (read, back) = body.read(buffer, into).await;
        buffer = back;
        match read? {
            0 => break,
            bytes => content.extend_from_slice(&buffer[..bytes]),
        }
    }
    drop(body.finish());
    Ok(content)
}

fn each_script(scripts: impl Fn() -> Vec<Script>, test: impl AsyncFn(&Ring, &Server)) {
    each_driver_with(|| Server::start(scripts()), test, Server::finish);
}

#[test]
fn an_http_endpoint_is_asked_for_in_absolute_form() {
    let scripts = || {
        let play = |host: &'static str| {
            script(move |peer: &mut Peer| {
                let head = peer.head();
                assert!(head.starts_with(&format!("GET http://{host}/bkt/k%20y HTTP/1.1\r\n")));
                assert!(head.contains(&format!("\r\nhost: {host}\r\n")), "{head}");
                assert!(head.contains(ALADDIN_FIELD), "{head}");
                assert!(head.ends_with("\r\n\r\n") && !head.contains("sesame"), "{head}");
                peer.send(answer("200 OK", "", "content"));
                peer.closed();
            })
        };
        ENDPOINTS.map(play).into()
    };
    each_script(scripts, async |ring, server| {
        for host in ENDPOINTS {
            let network = through(server, ALADDIN);
            let content = get(ring, network, &format!("http://{host}")).await.unwrap();
            assert_eq!(content, b"content");
        }
    });
}

#[test]
fn a_put_goes_through_the_proxy_and_the_connection_is_used_again() {
    let scripts = || {
        vec![script(|peer: &mut Peer| {
            for key in ["a", "b"] {
                let head = peer.head();
                assert!(head.starts_with(&format!("PUT http://store.test/bkt/{key} ")), "{head}");
                assert!(head.contains("\r\nhost: store.test\r\n"), "{head}");
                assert!(!head.to_lowercase().contains("proxy-authorization"), "{head}");
                assert_eq!(peer.body(5), b"hello");
                peer.send(answer("200 OK", "ETag: \"e\"\r\n", ""));
            }
            peer.closed();
        })]
    };
    each_script(scripts, async |ring, server| {
        let endpoint = Endpoint::new("http://store.test", "us-east-1", Addressing::Path).unwrap();
        let credentials = CredentialsSnapshot::fixed("id", "secret", None);
        let contact = Contact::new(Arc::new(endpoint), credentials);
        let network = through(server, "");
        let store = Store::new(ring.clone(), Contact { network, ..contact });
        let pool = Pool::new(2, 32 << 10).unwrap();
        let lease = pool.lease(2).await;
        let (mut buffer, mut scratch) = (lease.take().unwrap(), lease.take().unwrap());
        for key in ["a", "b"] {
            let request = PutRequest {
                bucket: "bkt".into(),
                key: key.into(),
                part: None,
                body_bytes: 5,
                proof: Proof::Header("AAAAAAAAAAA=".to_owned()),
                content_type: None,
                only_new: false,
            };
            let mut put = store.put(&request, scratch).await.map_err(|(error, _)| error).unwrap();
            buffer[..5].copy_from_slice(b"hello");
            let (written, back) = put.write(Slice { buffer, start: 0, end: 5 }).await;
            written.unwrap();
            buffer = back;
            let (done, back) = put.finish().await;
            done.unwrap();
            scratch = back.unwrap();
        }
        drop(store);
    });
}

const PAGE: &str = "Content-Type: text/html\r\n";

#[test]
fn what_a_forwarding_proxy_refuses_is_told_from_what_the_store_refuses() {
    let cases: [(Vec<u8>, ErrorKind, RetryClass, &[&str]); 5] = [
        (
            answer("407 Proxy Authentication Required", "", ""),
            ErrorKind::Denied,
            RetryClass::Fatal,
            &["user name and password", "407", "store.test"],
        ),
        (
            answer("403 Filtered", PAGE, "<html>"),
            ErrorKind::Denied,
            RetryClass::Fatal,
            &["does not allow", "NO_PROXY", "store.test"],
        ),
        (
            answer("502 Bad Gateway", PAGE, "<html>"),
            ErrorKind::Unreachable,
            RetryClass::Retry,
            &["cannot reach store.test", "502"],
        ),
        // The store's own words.
        (
            refusal("403 Forbidden", "AccessDenied", "Access Denied"),
            ErrorKind::Denied,
            RetryClass::Fatal,
            &["s3:GetObject"],
        ),
        (
            refusal("503 Slow Down", "SlowDown", "Reduce your request rate"),
            ErrorKind::Throttled,
            RetryClass::Throttle,
            &["SlowDown"],
        ),
    ];
    for (said, kind, class, words) in cases {
        let scripts = || {
            let said = said.clone();
            vec![script(move |peer: &mut Peer| {
                peer.head();
                peer.send(&said);
                peer.closed();
            })]
        };
        each_script(scripts, async |ring, server| {
            let fault = get(ring, through(server, ALADDIN), "http://store.test").await.unwrap_err();
            assert_eq!((fault.kind(), fault.class()), (kind, class), "{fault}");
            let text = format!("{fault} {fault:?}");
            for words in words {
                assert!(text.contains(words), "{words}: {text}");
            }
            assert!(!text.contains("sesame") && !text.contains("QWxhZGRpb"), "{text}");
        });
    }
}

fn dial(ring: &Ring, network: Network, patience: Patience) -> Dial {
    Dial::new(ring.clone(), network, Wire::Tls, "store.test", 443, patience)
}

#[test]
fn an_https_endpoint_is_reached_through_a_tunnel() {
    let scripts = || {
        vec![script(|peer: &mut Peer| {
            let head = peer.head();
            let expected = format!(
                "CONNECT store.test:443 HTTP/1.1\r\nHost: store.test:443\r\n{ALADDIN_FIELD}\r\n"
            );
            assert_eq!(head, expected);
            // An interim answer, and one in two pieces.
            peer.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 Connection ");
            peer.send("established\r\nVia: 1.0 p\r\n\r\n");
            assert_eq!(peer.body(5), b"hello");
            peer.send("bytes as they are");
            peer.closed();
        })]
    };
    each_script(scripts, async |ring, server| {
        let network = through(server, ALADDIN);
        let reached = dial(ring, network, Patience::DEFAULT).connect().await.unwrap();
        assert!(reached.forward.is_none());
        let pool = Pool::new(1, 4_096).unwrap();
        let mut buffer = pool.lease(1).await.take().unwrap();
        buffer[..5].copy_from_slice(b"hello");
        let (sent, slice) = ring.send(&reached.fd, Slice { buffer, start: 0, end: 5 }).await;
        assert_eq!(sent.unwrap(), 5);
        let (mut buffer, mut filled) = (slice.buffer, 0);
        while filled < 17 {
            let (received, back) = ring.recv(&reached.fd, buffer, filled..4_096).await;
            filled += received.unwrap();
            buffer = back;
        }
        assert_eq!(&buffer[..filled], b"bytes as they are");
    });
}

#[test]
fn what_a_proxy_answers_to_connect_instead_is_a_sentence() {
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000));
    let cases: [(&str, ErrorKind, RetryClass, &str); 10] = [
        ("HTTP/1.1 407 No\r\n\r\n", ErrorKind::Denied, RetryClass::Fatal, "refuses the user name"),
        ("HTTP/1.1 403 No\r\n\r\n", ErrorKind::Denied, RetryClass::Fatal, "does not allow"),
        ("HTTP/1.1 502 No\r\n\r\n", ErrorKind::Unreachable, RetryClass::Retry, "cannot reach"),
        ("HTTP/1.1 504 No\r\n\r\n", ErrorKind::Unreachable, RetryClass::Retry, "(504)"),
        ("HTTP/1.1 405 No\r\n\r\n", ErrorKind::Config, RetryClass::Fatal, "with 405"),
        ("HTTP/1.1 302 No\r\n\r\n", ErrorKind::Config, RetryClass::Fatal, "with 302"),
        ("SSH-2.0-OpenSSH_9.2\r\n", ErrorKind::Config, RetryClass::Fatal, "does not answer as"),
        (&endless, ErrorKind::Config, RetryClass::Fatal, "does not answer as"),
        // A server that speaks first in a tunnel is none behind TLS.
        ("HTTP/1.1 200 OK\r\n\r\n220", ErrorKind::Config, RetryClass::Fatal, "does not answer as"),
        ("", ErrorKind::Config, RetryClass::Fatal, "does not answer as"),
    ];
    for (said, kind, class, words) in cases {
        let scripts = || {
            let said = said.to_owned();
            vec![script(move |peer: &mut Peer| {
                peer.head();
                peer.send_some(&said);
            })]
        };
        each_script(scripts, async |ring, server| {
            let network = through(server, ALADDIN);
            let fault = dial(ring, network, Patience::DEFAULT).connect().await.err().unwrap();
            let fault = fault.at("https://store.test");
            assert_eq!((fault.kind(), fault.class()), (kind, class), "{said:.40}: {fault}");
            let text = format!("{fault} {fault:?}");
            assert!(text.contains(words), "{words}: {text}");
            assert!(text.contains(&server.url()), "{text}");
            assert!(!text.contains("sesame") && !text.contains("QWxhZGRpb"), "{text}");
        });
    }
}

#[test]
fn a_proxy_that_says_nothing_is_given_up() {
    let scripts = || {
        vec![script(|peer: &mut Peer| {
            peer.head();
            peer.closed();
        })]
    };
    each_script(scripts, async |ring, server| {
        let hurried = Patience { first_byte: Duration::from_millis(20), ..Patience::DEFAULT };
        let fault = dial(ring, through(server, ""), hurried).connect().await.err().unwrap();
        assert!(matches!(fault, NetError::Silent { .. }), "{fault:?}");
        assert!(fault.to_string().contains("from the proxy"), "{fault}");
    });
}

#[test]
fn a_proxy_that_answers_by_the_byte_is_given_up() {
    let scripts = || {
        vec![script(|peer: &mut Peer| {
            peer.head();
            peer.send("HTTP/1.1 200 OK\r\nX: ");
            for _ in 0..100 {
                // Its pace: each byte alone comes well within the limit.
                std::thread::sleep(Duration::from_millis(5));
                peer.send_some("x");
            }
        })]
    };
    each_script(scripts, async |ring, server| {
        let hurried = Patience { first_byte: Duration::from_millis(100), ..Patience::DEFAULT };
        let fault = dial(ring, through(server, ""), hurried).connect().await.err().unwrap();
        assert!(matches!(fault, NetError::Silent { .. }), "{fault:?}");
    });
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    each_driver(async |ring| {
        let proxy = format!("http://{ALADDIN}{free}");
        let network = network("", &[("all_proxy", &proxy)]);
        let fault = dial(ring, network, Patience::DEFAULT).connect().await.err().unwrap();
        let fault = fault.at("https://store.test");
        assert_eq!((fault.kind(), fault.class()), (ErrorKind::Unreachable, RetryClass::Retry));
        let text = fault.to_string();
        assert!(text.contains(&format!("the proxy http://{free}")), "{text}");
        assert!(text.contains("refused") && !text.contains("sesame"), "{text}");
    });
}
