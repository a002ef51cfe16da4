#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;
use crate::access::Addressing;
use crate::s3::{CredentialsSnapshot, Endpoint};

/// What is made of the answer to a HEAD of the bucket.
fn region_of(status: &'static str, field: &'static str) -> Option<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let (mut head, mut block) = (Vec::new(), [0; 1024]);
        while !head.ends_with(b"\r\n\r\n") {
            let count = peer.read(&mut block).unwrap();
            head.extend_from_slice(&block[..count]);
        }
        let answer = format!("HTTP/1.1 {status}\r\n{field}Content-Length: 0\r\n\r\n");
        peer.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(head).unwrap()
    });
    let endpoint = Endpoint::new(&url, "us-east-1", Addressing::Path).unwrap();
    let keys = CredentialsSnapshot::fixed("id", "s", None);
    let control = SdkControl::new(&Contact::new(endpoint.into(), keys), "bkt", Patience::DEFAULT);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let region = runtime.block_on(control.region());
    let head = server.join().unwrap();
    assert!(head.starts_with("HEAD /bkt"), "{head}");
    region
}

// HeadBucket's documented answers: the field is there with a refusal too.
#[test]
fn a_bucket_s_region_is_in_the_answer_whoever_asks() {
    let field = "x-amz-bucket-region: eu-north-1\r\n";
    for status in ["200 OK", "301 Moved Permanently", "403 Forbidden", "400 Bad Request"] {
        assert_eq!(region_of(status, field).as_deref(), Some("eu-north-1"), "{status}");
    }
    assert_eq!(region_of("404 Not Found", ""), None);
    assert_eq!(region_of("403 Forbidden", "x-amz-bucket-region: a.b/\r\n"), None);
}
