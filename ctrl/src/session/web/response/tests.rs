#![allow(clippy::unwrap_used)]

use super::{Fault, Response};

/// What comes out when `sent` is cut into pieces of `size`, and then closed.
fn pass(sent: &str, size: usize, is_head: bool) -> Result<String, Fault> {
    let mut response = Response::new(is_head);
    let mut out = Vec::new();
    for piece in sent.as_bytes().chunks(size) {
        out.extend(response.push(piece)?);
    }
    out.extend(response.end()?);
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn odd_heads_become_such_as_the_router_reads() {
    for (sent, passed) in [
        (
            "HTTP/1.1 200\r\nContent-Length:2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
        (
            "HTTP/1.0 404 Nope\nA:b\ncontent-length: 0\n\n",
            "HTTP/1.1 404 Nope\r\nA: b\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
        ),
        (
            "HTTP/1.1 299 \r\nA: b\r\n c\r\njunk\r\nContent-Length: 1\r\n\r\nxyz",
            "HTTP/1.1 299 Unknown\r\nA: b c\r\nContent-Length: 1\r\n\r\nx",
        ),
    ] {
        for size in [1, 2, 7, 1000] {
            assert_eq!(pass(sent, size, false).as_deref(), Ok(passed), "{sent} by {size}");
        }
    }
}

/// The text of chunks, without their sizes.
fn unchunk(text: &str) -> String {
    let (head, mut rest) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.ends_with("\r\nTransfer-Encoding: chunked"), "{head}");
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            assert_eq!(after, "\r\n");
            return body;
        }
        body.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").unwrap();
    }
}

#[test]
fn bodies_are_framed_anew_however_they_are_cut() {
    for (sent, body) in [
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n6;ext=1\r\n, worl\r\n1\r\nd\r\n0\r\nX: y\r\n\r\n",
            "hello, world",
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<p>until the end</p>",
            "<p>until the end</p>",
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 7\r\n\r\n0\r\n\r\n", ""),
    ] {
        for size in [1, 2, 3, 5, 1000] {
            assert_eq!(unchunk(&pass(sent, size, false).unwrap()), body, "{sent} by {size}");
        }
    }
}

#[test]
fn an_answer_to_head_has_no_body() {
    let sent = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(pass(sent, 9, true).as_deref(), Ok(sent));
}

#[test]
fn what_is_no_answer_is_a_fault() {
    for sent in [
        "",
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
    ] {
        assert!(pass(sent, 3, false).is_err(), "{sent}");
    }
    let long = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(70_000));
    assert!(pass(&long, 4096, false).is_err());
}
