//! Heads and framing of RFC 9112, whole and cut at every byte.
#![allow(clippy::unwrap_used)]

use osmo_engine::net::http1::head::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX};
use osmo_engine::net::http1::{Body, BodyFault, HeadFault, Method, RequestHead, ResponseHead};
use proptest::prelude::*;

fn parse(text: &str, asked: Method) -> Result<(ResponseHead, Body, usize), HeadFault> {
    ResponseHead::parse(text.as_bytes(), asked).map(|parsed| parsed.expect("a complete head"))
}

fn refused(text: &str) -> HeadFault {
    parse(text, Method::Get).expect_err(text)
}

/// The example of RFC 9112 §2.1, as RFC 9110 §3.9 prints it.
const RFC_EXAMPLE: &str = "HTTP/1.1 200 OK\r\n\
    Date: Mon, 27 Jul 2009 12:28:53 GMT\r\n\
    Server: Apache\r\n\
    Last-Modified: Wed, 22 Jul 2009 19:15:56 GMT\r\n\
    ETag: \"34aa387-d-1568eb00\"\r\n\
    Accept-Ranges: bytes\r\n\
    Content-Length: 51\r\n\
    Vary: Accept-Encoding\r\n\
    Content-Type: text/plain\r\n\
    \r\n";

#[test]
fn the_example_of_the_rfc_is_read_at_every_cut() {
    let text = format!("{RFC_EXAMPLE}Hello World! My content includes a trailing CRLF.\r\n");
    for cut in 0..=text.len() {
        let parsed = ResponseHead::parse(&text.as_bytes()[..cut], Method::Get).unwrap();
        assert_eq!(parsed.is_some(), cut >= RFC_EXAMPLE.len(), "cut at {cut}");
        let Some((head, body, taken)) = parsed else { continue };
        assert_eq!((head.status, taken), (200, RFC_EXAMPLE.len()));
        assert_eq!(head.field("etag"), Some("\"34aa387-d-1568eb00\""));
        assert_eq!(body, Body::length(51));
        assert!(head.keep_alive);
    }
}

#[test]
fn interim_answers_are_skipped_at_every_cut() {
    let text = "HTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
        HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\n";
    for cut in 0..text.len() {
        assert_eq!(ResponseHead::parse(&text.as_bytes()[..cut], Method::Put), Ok(None), "{cut}");
    }
    let (head, body, taken) = parse(text, Method::Put).unwrap();
    assert_eq!((head.status, body, taken), (403, Body::length(3), text.len()));
    assert_eq!(head.field("link"), None);
}

#[test]
fn answers_without_a_body_have_none_whatever_they_claim() {
    let claim = "Content-Length: 12345\r\n\r\n";
    let head = parse(&format!("HTTP/1.1 200 OK\r\n{claim}"), Method::Head).unwrap();
    assert_eq!((head.1, head.0.field("content-length")), (Body::length(0), Some("12345")));
    for status in ["204 No Content", "304 Not Modified"] {
        let (_, body, _) = parse(&format!("HTTP/1.1 {status}\r\n{claim}"), Method::Get).unwrap();
        assert_eq!(body, Body::length(0));
    }
}

#[test]
fn framing_follows_the_rfc() {
    let framing = |fields: &str| {
        let (head, body, _) =
            parse(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), Method::Get).unwrap();
        (body, head.keep_alive)
    };
    assert_eq!(framing("Content-Length: 0\r\n"), (Body::length(0), true));
    assert_eq!(framing("content-LENGTH:7\r\n"), (Body::length(7), true));
    assert_eq!(framing("Content-Length: 18446744073709551615\r\n"), (Body::length(u64::MAX), true));
    assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), (Body::chunked(), true));
    assert_eq!(framing(""), (Body::UntilClose, false));
    assert_eq!(
        framing("Connection: keep-alive, Close\r\nContent-Length: 1\r\n"),
        (Body::length(1), false)
    );
    let (old, _, _) = parse("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", Method::Get).unwrap();
    assert!(!old.keep_alive);
}

#[test]
fn a_head_that_could_be_read_two_ways_is_refused() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let with = |fields: &str| refused(&format!("{ok}{fields}\r\n"));
    assert_eq!(with("Content-Length: 5\r\nContent-Length: 6\r\n"), HeadFault::LengthTwice);
    assert_eq!(with("Content-Length: 5\r\ncontent-length: 5\r\n"), HeadFault::LengthTwice);
    assert_eq!(with("Content-Length: 5, 5\r\n"), HeadFault::LengthTwice);
    for length in ["-1", "+5", "0x10", "5 5", "", "1e3", "18446744073709551616", "５"] {
        assert_eq!(
            with(&format!("Content-Length: {length}\r\n")),
            HeadFault::LengthInvalid,
            "{length}"
        );
    }
    assert_eq!(
        with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        HeadFault::LengthAndEncoding
    );
    for coding in ["gzip, chunked", "identity", "chunked, chunked", "xchunked", ""] {
        assert_eq!(with(&format!("Transfer-Encoding: {coding}\r\n")), HeadFault::EncodingUnknown);
    }
    assert_eq!(
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        HeadFault::EncodingUnknown
    );
    assert_eq!(
        refused("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        HeadFault::EncodingUnknown
    );
    for fields in ["A: b\r\n c\r\n", "A : b\r\n", "A\r\n", "A: b\0c\r\n", ": b\r\n"] {
        assert!(matches!(with(fields), HeadFault::NotHttp(_)), "{fields:?}");
    }
    assert_eq!(refused("HTTP/1.1 101 Switching Protocols\r\n\r\n"), HeadFault::Upgrade);
    for text in ["HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 2xx\r\n\r\n", "\x15\x03\x01\x00\x02\x02"] {
        assert!(matches!(refused(text), HeadFault::NotHttp(_)), "{text:?}");
    }
}

#[test]
fn a_head_has_its_limits_and_reaches_them() {
    let fields = |count: usize| {
        let fields: String = (0..count).map(|n| format!("X-{n}: 1\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\n{fields}\r\n")
    };
    assert!(parse(&fields(HEAD_FIELDS_MAX), Method::Get).is_ok());
    assert_eq!(refused(&fields(HEAD_FIELDS_MAX + 1)), HeadFault::TooLarge);

    let frame = "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len();
    let long = |value: usize| format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(value));
    assert!(parse(&long(HEAD_BYTES_MAX - frame), Method::Get).is_ok());
    assert_eq!(refused(&long(HEAD_BYTES_MAX - frame + 1)), HeadFault::TooLarge);

    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(HEAD_BYTES_MAX));
    assert_eq!(refused(&endless), HeadFault::TooLarge);
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(HEAD_BYTES_MAX / 24);
    assert_eq!(refused(&interim), HeadFault::TooLarge);
}

/// Decodes `coded` as it would arrive in the two pieces around `cut`.
fn decode(mut body: Body, coded: &[u8], cut: usize) -> Result<(Vec<u8>, Body, usize), BodyFault> {
    let (mut content, mut used_total) = (Vec::new(), 0);
    for piece in [&coded[..cut], &coded[cut..]] {
        let mut bytes = piece.to_vec();
        let (used, made) = body.decode(&mut bytes)?;
        used_total += used;
        content.extend_from_slice(&bytes[..made]);
    }
    Ok((content, body, used_total))
}

#[test]
fn chunks_are_decoded_at_every_cut() {
    let coded = b"4\r\nWiki\r\n5 ;a=b;c=\"d\"\r\npedia\r\n0000E\r\n in\r\n\r\nchunks.\r\n\
        0\r\nExpires: never\r\nX: y\r\n\r\n";
    for cut in 0..=coded.len() {
        let (content, body, used) = decode(Body::chunked(), coded, cut).unwrap();
        assert_eq!(content, b"Wikipedia in\r\n\r\nchunks.", "cut at {cut}");
        assert!(body.is_done());
        assert_eq!(used, coded.len());
        assert_eq!(body.ended(), Ok(()));
    }
    for end in 0..coded.len() {
        let (_, body, _) = decode(Body::chunked(), &coded[..end], 0).unwrap();
        assert_eq!(body.ended(), Err(BodyFault::Truncated(None)), "ends at {end}");
    }
}

#[test]
fn bytes_beyond_the_end_are_not_used() {
    let (content, body, used) = decode(Body::chunked(), b"1\r\na\r\n0\r\n\r\nHTTP/1.1", 4).unwrap();
    assert_eq!((content.as_slice(), used, body.is_done()), (b"a".as_slice(), 11, true));
    let (content, body, used) = decode(Body::length(3), b"abcdef", 1).unwrap();
    assert_eq!((content.as_slice(), used, body.is_done()), (b"abc".as_slice(), 3, true));
}

#[test]
fn malformed_chunks_are_refused() {
    let line = format!("1;{}\r\n", "x".repeat(2_000));
    let trailers = format!("0\r\n{}", "X: y\r\n".repeat(2_000));
    let cases: [&[u8]; 11] = [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"0x1\r\n",
        b"1\n",
        b"1\r\nab\r\n",
        b"1\r\na\n",
        b"ffffffffffffffff\r\n",
        b"1 2\r\n",
        line.as_bytes(),
        trailers.as_bytes(),
    ];
    for coded in cases {
        let fault = decode(Body::chunked(), coded, 0).map(|_| ());
        assert_eq!(fault, Err(BodyFault::ChunkInvalid), "{:?}", String::from_utf8_lossy(coded));
    }
}

#[test]
fn a_short_body_says_how_much_is_missing() {
    let (_, body, _) = decode(Body::length(10), b"abc", 0).unwrap();
    assert_eq!(body.ended(), Err(BodyFault::Truncated(Some(7))));
    assert_eq!(Body::UntilClose.ended(), Ok(()));
}

#[test]
fn a_request_cannot_be_split_by_its_values() {
    for target in ["/a b", "/a\r\nX: y", "a", "", "/\u{e4}", "/a\0"] {
        assert!(RequestHead::new(Method::Get, target).is_err(), "{target:?}");
    }
    let mut head = RequestHead::new(Method::Put, "/b/k?partNumber=1").unwrap();
    for value in ["a\r\nb: c", "a\nb", "a\0", "\x7f"] {
        assert!(head.field("content-type", value).is_err(), "{value:?}");
    }
    head.field("host", "h:80").unwrap();
    assert_eq!(head.end().bytes(), b"PUT /b/k?partNumber=1 HTTP/1.1\r\nhost: h:80\r\n\r\n");
}

proptest! {
    #[test]
    fn no_bytes_break_the_parsers(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = ResponseHead::parse(&bytes, Method::Get);
        let mut framed = b"HTTP/1.1 200 OK\r\n".to_vec();
        framed.extend_from_slice(&bytes);
        let _ = ResponseHead::parse(&framed, Method::Get);
        let mut body = Body::chunked();
        let mut arrived = bytes.clone();
        if let Ok((used, made)) = body.decode(&mut arrived) {
            prop_assert!(used <= bytes.len() && made <= used);
        }
    }
}
