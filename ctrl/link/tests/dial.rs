//! Dials and calls against peers on loopback that the test plays.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use osmo_link::{ANSWER_BYTES_MAX, LinkError, MESSAGE_BYTES_MAX, Network, Place, Trust};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

const WATCHDOG: Duration = Duration::from_secs(60);

/// Answers one connection with `answer`; gives what was asked.
async fn peer(at: &str, answer: Vec<u8>) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind(at).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
        }
        let _ = stream.write_all(&answer).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
        String::from_utf8(request).unwrap()
    });
    (port, asked)
}

fn network() -> Network {
    Network::open(Trust::default()).unwrap()
}

async fn call(place: &Place, path: &str) -> Result<http::Response<Bytes>, LinkError> {
    let request = Request::get(path).body(Bytes::new()).unwrap();
    timeout(WATCHDOG, network().call(place, request)).await.unwrap()
}

#[tokio::test]
async fn a_call_asks_for_the_path_at_the_host() {
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let answer = b"HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\n\r\nhi".to_vec();
        if TcpListener::bind(at).await.is_err() {
            continue; // A machine without IPv6.
        }
        let (port, asked) = peer(at, answer).await;
        let host = at.rsplit_once(':').unwrap().0;
        let place = Place::parse(&format!("http://{host}:{port}/below/")).unwrap();
        let answer = call(&place, "/a?b=c%20d").await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (418, &b"hi"[..]));
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("GET /below/a?b=c%20d HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(&format!("host: {host}:{port}\r\n")), "{asked}");
    }
}

#[tokio::test]
async fn an_answer_is_bounded_and_whole() {
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", ANSWER_BYTES_MAX + 1);
    let mut long = long.into_bytes();
    long.resize(long.len() + ANSWER_BYTES_MAX + 1, b'x');
    for (answer, words) in [
        (long, "longer than"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi".to_vec(), "was cut"),
        (b"SSH-2.0-x\r\n".to_vec(), "no answer came"),
        (Vec::new(), "no answer came"),
    ] {
        let (port, _) = peer("127.0.0.1:0", answer).await;
        let place = Place::new(false, "127.0.0.1", port);
        let told = call(&place, "/").await.unwrap_err().to_string();
        assert!(told.contains(words) && told.contains(&place.authority()), "{told}");
    }
}

#[tokio::test]
async fn whoever_is_not_there_is_named_with_a_remedy() {
    // Bound, so that nobody else takes it, and not listening.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let place = Place::new(false, "localhost", port);
    let told = call(&place, "/").await.unwrap_err().to_string();
    for words in [&format!("localhost:{port}"), "takes no connection", "check that the service"] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
}

#[tokio::test]
async fn a_refused_websocket_tells_status_and_reason() {
    let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nexpired".to_vec();
    let (port, asked) = peer("127.0.0.1:0", answer).await;
    let place = Place::new(false, "127.0.0.1", port);
    let headers = HeaderMap::from_iter([(
        http::header::AUTHORIZATION,
        HeaderValue::from_static("Bearer secret-token"),
    )]);
    let network = network();
    let dial = network.websocket(&place, "/api/x?y=1", headers, MESSAGE_BYTES_MAX);
    let fault = timeout(WATCHDOG, dial).await.unwrap().unwrap_err();
    let LinkError::Refused { status, .. } = &fault else { panic!("{fault}") };
    assert_eq!(*status, 403);
    assert!(!fault.to_string().contains("secret-token"));
    let asked = asked.await.unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("get /api/x?y=1 http/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: bearer secret-token\r\n"), "{asked}");
}

#[test]
fn a_file_of_certificates_that_is_none_is_named() {
    for (file, words) in [("/nowhere/ca.pem", "cannot be read"), ("/dev/null", "no certificate")] {
        let trust = Trust { ca_file: Some(file.into()), verify: true };
        let told = Network::open(trust).unwrap_err().to_string();
        assert!(told.contains(file) && told.contains(words), "{told}");
    }
}

#[test]
fn addresses_are_read_as_the_service_writes_them() {
    for (url, secure, host, port, authority) in [
        ("wss://router.example.com", true, "router.example.com", 443, "router.example.com:443"),
        ("ws://127.0.0.1:8000/", false, "127.0.0.1", 8000, "127.0.0.1:8000"),
        ("https://[::1]:8443/x/", true, "::1", 8443, "[::1]:8443"),
        ("http://h", false, "h", 80, "h:80"),
    ] {
        let place = Place::parse(url).unwrap();
        assert_eq!((place.is_secure(), place.host(), place.port()), (secure, host, port), "{url}");
        assert_eq!(place.authority(), authority);
    }
    for url in ["", "router", "ftp://h", "wss://", "wss://h:99999", "wss:h", "wss://u:p@h"] {
        let told = Place::parse(url).unwrap_err().to_string();
        assert!(told.contains("no address"), "{url}: {told}");
    }
}
