//! What refusals mean: S3's documented error codes, with and without bodies.
#![allow(clippy::unwrap_used)]

use osmo_engine::access::Addressing;
use osmo_engine::net::http1::{Method, ResponseHead};
use osmo_engine::s3::fault::{Fault, Subject};
use osmo_engine::s3::{Endpoint, Rung};
use osmo_engine::{Error, ErrorKind, RetryClass};

const SUBJECT: Subject<'_> =
    Subject { store: "s3://", bucket: "bkt", key: "a/b", permission: "s3:GetObject" };

fn error(status: &str, fields: &str, body: &[u8]) -> Error {
    let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    let (head, ..) = ResponseHead::parse(head.as_bytes(), Method::Get).unwrap().unwrap();
    let endpoint = Endpoint::new("http://store:9000", "us-east-1", Addressing::Path).unwrap();
    Fault::from_answer(&head, body).into_error(&endpoint, SUBJECT)
}

fn coded(status: &str, code: &str) -> Error {
    let body = format!("<Error><Code>{code}</Code><Message>the store's words</Message></Error>");
    error(status, "", body.as_bytes())
}

#[test]
fn codes_decide_kind_class_and_remedy() {
    use RetryClass as Class;
    let rows = [
        ("403 F", "SignatureDoesNotMatch", ErrorKind::Denied, Class::Auth, "AWS_SECRET_ACCESS_KEY"),
        ("403 F", "InvalidAccessKeyId", ErrorKind::Denied, Class::Auth, "AWS_ACCESS_KEY_ID"),
        ("403 F", "AccessDenied", ErrorKind::Denied, Class::Auth, "permission s3:GetObject"),
        ("400 B", "ExpiredToken", ErrorKind::Denied, Class::Auth, "fresh credentials"),
        ("403 F", "RequestTimeTooSkewed", ErrorKind::Denied, Class::Fatal, "clock"),
        ("404 N", "NoSuchBucket", ErrorKind::NotFound, Class::Fatal, "no bucket bkt"),
        ("404 N", "NoSuchKey", ErrorKind::NotFound, Class::Fatal, "no object s3://bkt/a/b"),
        ("404 N", "NoSuchUpload", ErrorKind::NotFound, Class::Fatal, "start it again"),
        ("412 P", "PreconditionFailed", ErrorKind::Changed, Class::Changed, "changed"),
        ("416 R", "InvalidRange", ErrorKind::Changed, Class::Changed, "changed"),
        ("503 S", "SlowDown", ErrorKind::Throttled, Class::Throttle, "fewer requests"),
        ("503 S", "ServiceUnavailable", ErrorKind::Throttled, Class::Throttle, "fewer requests"),
        ("500 I", "InternalError", ErrorKind::Store, Class::Retry, "try again later"),
        ("400 B", "RequestTimeout", ErrorKind::Store, Class::Retry, "try again later"),
        ("400 B", "BadDigest", ErrorKind::Corrupt, Class::Corrupt, "checksum"),
        ("501 N", "NotImplemented", ErrorKind::Unsupported, Class::Fatal, "another store"),
        ("400 B", "InvalidArgument", ErrorKind::Protocol, Class::Fatal, "InvalidArgument"),
    ];
    for (status, code, kind, class, words) in rows {
        let fault = coded(status, code);
        assert_eq!((fault.kind(), fault.class()), (kind, class), "{code}");
        let text = fault.to_string();
        assert!(text.contains(words), "{code}: {text}");
        assert!(text.contains(code) && text.contains("the store's words"), "{code}: {text}");
    }
}

#[test]
fn a_status_alone_is_enough() {
    let rows = [
        ("401 U", ErrorKind::Denied),
        ("403 F", ErrorKind::Denied),
        ("404 N", ErrorKind::NotFound),
        ("408 T", ErrorKind::Store),
        ("412 P", ErrorKind::Changed),
        ("416 R", ErrorKind::Changed),
        ("429 T", ErrorKind::Throttled),
        ("500 I", ErrorKind::Store),
        ("502 B", ErrorKind::Store),
        ("503 S", ErrorKind::Throttled),
        ("301 M", ErrorKind::Config),
        ("405 M", ErrorKind::Protocol),
    ];
    for (status, kind) in rows {
        for body in [&b""[..], b"<html><body>Bad Gateway</body></html>", b"\xff\xfe\0<Code>"] {
            assert_eq!(error(status, "", body).kind(), kind, "{status}");
        }
    }
}

#[test]
fn a_redirect_names_the_bucket_s_region() {
    let fields = "x-amz-bucket-region: eu-west-1\r\n";
    let by_field = error("301 Moved Permanently", fields, b"");
    let by_body = error(
        "400 Bad Request",
        "",
        b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>",
    );
    for fault in [by_field, by_body] {
        assert_eq!(fault.kind(), ErrorKind::Config);
        assert!(fault.to_string().contains("AWS_REGION=eu-west-1"), "{fault}");
    }
}

#[test]
fn a_document_is_read_tolerantly_and_cut() {
    let cases: [(&[u8], &str); 5] = [
        (b"<Code>NoSuchKey</Code>", "NoSuchKey"),
        (b"<Error>\n <Code> NoSuchKey </Code>", "NoSuchKey"),
        (b"<Error><Code>A&amp;B</Code>", "A&B"),
        (b"<Error><Code>A&amp;lt;B</Code>", "A&lt;B"),
        (b"<Error><Message>a\r\nb\x1b[31m</Message>", "a  b [31m"),
    ];
    for (body, words) in cases {
        let text = error("404 N", "", body).to_string();
        assert!(text.contains(words), "{text:?}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    let long = format!("<Message>{}</Message>", "ü".repeat(5_000));
    let text = error("404 N", "", long.as_bytes()).to_string();
    assert_eq!(text.matches('ü').count(), 300);
}

/// The rungs that an answer with this status, error code, message and named
/// header refuses.
fn refused(status: u16, code: &str, message: &str, header: &str) -> Vec<Rung> {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let (code, message, about) = (some(code), some(message), some(header));
    let fault = Fault { status, code, message, about, ..Fault::default() };
    let rungs = [Rung::Trailer, Rung::Header, Rung::ContentMd5, Rung::None];
    rungs.into_iter().filter(|rung| fault.refuses(*rung)).collect()
}

#[test]
fn only_a_word_about_the_checksum_refuses_it() {
    use Rung::{ContentMd5, Header, Trailer};
    // S3's sentence for a field that it does not implement.
    let vague = "A header you provided implies functionality that is not implemented";
    let crc = "Value for x-amz-checksum-crc64nvme header is invalid.";
    let needed = "Missing required header for this request: Content-MD5";
    for (status, code, message, header, rungs) in [
        (501, "NotImplemented", vague, "", &[Trailer, Header, ContentMd5][..]),
        (501, "", "", "", &[Trailer, Header, ContentMd5]),
        (
            501,
            "NotImplemented",
            vague,
            "x-amz-sdk-checksum-algorithm",
            &[Trailer, Header, ContentMd5],
        ),
        (501, "NotImplemented", vague, "x-amz-storage-class", &[]),
        (501, "NotImplemented", vague, "If-None-Match", &[]),
        (501, "NotImplemented", vague, "Content-Encoding", &[Trailer]),
        (400, "InvalidRequest", crc, "", &[Trailer, Header, ContentMd5]),
        (400, "InvalidRequest", needed, "", &[Header, ContentMd5]),
        (
            400,
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, or a valid sha256 value.",
            "",
            &[Trailer],
        ),
        (400, "InvalidArgument", "Invalid part number", "partNumber", &[]),
        (400, "InvalidRequest", "The checksum did not match", "", &[]),
        (400, "MalformedTrailerError", "The request contained trailing data", "", &[Trailer]),
        (400, "BadDigest", "The Content-MD5 you specified did not match", "", &[]),
        (400, "BadDigest", "The CRC64NVME you specified", "", &[]),
        (400, "InvalidDigest", "The Content-MD5 you specified is not valid", "", &[]),
        (400, "XAmzContentChecksumMismatch", "", "", &[]),
        (400, "XAmzContentSHA256Mismatch", "", "", &[Trailer]),
        (411, "MissingContentLength", "", "", &[Trailer]),
        (403, "AccessDenied", "not without a checksum", "", &[]),
        (403, "SignatureDoesNotMatch", "", "", &[]),
        (500, "InternalError", "the checksum failed", "", &[]),
        (503, "SlowDown", "", "", &[]),
    ] {
        assert_eq!(refused(status, code, message, header), rungs, "{status} {code} {message}");
    }
}
