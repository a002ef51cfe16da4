//! The endpoint below the SDKs: plain HTTP over a socket.
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use osmo_controller::store::{StoreConfig, StoreServer, serve};
use tempfile::TempDir;

/// Sends a request that asks for the connection to be closed; returns the answer.
fn exchange(server: std::net::SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsigned_and_malformed_requests_are_refused() {
    let folder = TempDir::new().unwrap();
    let server =
        StoreServer::start(StoreConfig::new(folder.path(), "key", "secret")).await.unwrap();
    let address = server.address();
    let (unsigned, garbage, signed) = tokio::task::spawn_blocking(move || {
        let tail = "host: 127.0.0.1\r\nconnection: close\r\n\r\n";
        let date = "x-amz-date: 20130524T000000Z\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n";
        let old = "authorization: AWS4-HMAC-SHA256 Credential=key/20130524/us-east-1/s3/aws4_request, \
                   SignedHeaders=host;x-amz-date, Signature=00\r\n";
        (
            exchange(address, &format!("GET /first/key HTTP/1.1\r\n{tail}")),
            exchange(address, "this is not HTTP\r\n\r\n"),
            exchange(address, &format!("GET /first/key HTTP/1.1\r\n{date}{old}{tail}")),
        )
    })
    .await
    .unwrap();
    assert!(unsigned.starts_with("HTTP/1.1 403 "), "{unsigned}");
    assert!(unsigned.contains("<Code>AccessDenied</Code>"), "{unsigned}");
    assert!(garbage.starts_with("HTTP/1.1 400 "), "{garbage}");
    assert!(signed.starts_with("HTTP/1.1 403 "), "a signature from 2013: {signed}");
    server.stop().await;
}

#[tokio::test]
async fn stopping_does_not_wait_for_idle_connections() {
    let folder = TempDir::new().unwrap();
    let server =
        StoreServer::start(StoreConfig::new(folder.path(), "key", "secret")).await.unwrap();
    let idle = TcpStream::connect(server.address()).unwrap();
    let half = TcpStream::connect(server.address()).unwrap();
    (&half).write_all(b"GET /first HTTP/1.1\r\nhost:").unwrap();
    let address = server.address();
    tokio::time::timeout(Duration::from_secs(60), server.stop()).await.unwrap();
    assert!(TcpStream::connect(address).is_err(), "nothing listens any more");
    drop((idle, half));
    // The folder is free again.
    StoreServer::start(StoreConfig::new(folder.path(), "key", "secret"))
        .await
        .unwrap()
        .stop()
        .await;
}

#[tokio::test]
async fn it_serves_alone_until_told_to_end() {
    let folder = TempDir::new().unwrap();
    let config = StoreConfig::new(folder.path(), "key", "secret");
    let (mut endpoint, mut served) = (String::new(), false);
    serve(config, |url| endpoint = url.to_owned(), async { served = true }).await.unwrap();
    assert!(endpoint.starts_with("http://127.0.0.1:") && served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_body_is_taken_so_that_the_answer_arrives() {
    const BODY_BYTES: usize = 32 << 20;
    let folder = TempDir::new().unwrap();
    let server =
        StoreServer::start(StoreConfig::new(folder.path(), "key", "secret")).await.unwrap();
    let address = server.address();
    let answer = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let head =
            format!("PUT /first/key HTTP/1.1\r\nhost: x\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(&vec![0; BODY_BYTES]).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    })
    .await
    .unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    server.stop().await;
}
