//! Signatures against AWS's published examples and against Python's own
//! `hmac` and `urllib`; where a bucket and key go in a request.
#![allow(clippy::unwrap_used)]

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use osmo_engine::ErrorKind;
use osmo_engine::access::Addressing;
use osmo_engine::net::http1::Method;
use osmo_engine::s3::endpoint::{Endpoint, Target};
use osmo_engine::s3::sign::{Unsigned, sign};

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// 2013-05-24T00:00:00Z, the day of the examples in S3's documentation.
fn example_day() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_369_353_600)
}

fn credentials() -> Credentials {
    Credentials::new(ID, SECRET, None, None, "test")
}

fn signed(
    target: &Target,
    method: Method,
    query: &str,
    fields: Vec<(&'static str, String)>,
) -> String {
    let unsigned = Unsigned { method, target, query: query.to_owned(), fields };
    let head = sign(&unsigned, Some(&credentials()), "us-east-1", example_day()).unwrap();
    String::from_utf8(head.bytes().to_vec()).unwrap()
}

fn example_bucket(key: &str) -> Target {
    Endpoint::new("http://s3.amazonaws.com", "us-east-1", Addressing::Virtual)
        .unwrap()
        .target("examplebucket", key)
}

#[test]
fn get_object_with_a_range_has_the_documented_signature() {
    let fields = vec![("range", "bytes=0-9".to_owned())];
    let head = signed(&example_bucket("test.txt"), Method::Get, "", fields);
    assert!(head.starts_with("GET /test.txt HTTP/1.1\r\nhost: examplebucket.s3.amazonaws.com\r\n"));
    let expected = "authorization: AWS4-HMAC-SHA256 \
        Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
        SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
        Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41\r\n";
    assert!(head.contains(expected), "{head}");
    assert!(head.contains("x-amz-date: 20130524T000000Z\r\n"), "{head}");
}

#[test]
fn queries_have_the_documented_signatures() {
    let cases = [
        ("lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ];
    for (query, signature) in cases {
        let head = signed(&example_bucket(""), Method::Get, query, Vec::new());
        assert!(head.contains(&format!("Signature={signature}\r\n")), "{query}: {head}");
    }
}

#[test]
fn without_credentials_nothing_is_signed() {
    let target = example_bucket("test.txt");
    let unsigned =
        Unsigned { method: Method::Get, target: &target, query: String::new(), fields: Vec::new() };
    let head = sign(&unsigned, None, "us-east-1", example_day()).unwrap();
    assert_eq!(
        head.bytes(),
        b"GET /test.txt HTTP/1.1\r\nhost: examplebucket.s3.amazonaws.com\r\n\r\n"
    );
}

const ODD_KEYS: &[(&str, &str)] = &[
    ("a b", "/bkt/a%20b"),
    ("ünï/日本", "/bkt/%C3%BCn%C3%AF/%E6%97%A5%E6%9C%AC"),
    ("100%", "/bkt/100%25"),
    ("a%20b", "/bkt/a%2520b"),
    ("a+b=c&d", "/bkt/a%2Bb%3Dc%26d"),
    ("a//b", "/bkt/a//b"),
    ("/lead", "/bkt//lead"),
    ("./..", "/bkt/./.."),
    ("a/../b/", "/bkt/a/../b/"),
    ("q?x#y", "/bkt/q%3Fx%23y"),
    ("$@:,;!*'()~_-.", "/bkt/%24%40%3A%2C%3B%21%2A%27%28%29~_-."),
    ("new\nline\ttab\u{7f}", "/bkt/new%0Aline%09tab%7F"),
    ("\"<>\\^`{|}", "/bkt/%22%3C%3E%5C%5E%60%7B%7C%7D"),
];

#[test]
fn odd_keys_are_encoded_once_and_never_normalised() {
    let endpoint = Endpoint::new("http://127.0.0.1:9000", "r", Addressing::Path).unwrap();
    for (key, path) in ODD_KEYS {
        assert_eq!(endpoint.target("bkt", key).path, *path, "{key:?}");
    }
}

/// Signature Version 4 for S3 in fifteen lines of Python, from AWS's text.
const ORACLE: &str = r#"
import hashlib, hmac, sys
from urllib.parse import quote
key, host, secret, extra = sys.argv[1:5]
fields = dict(f.split(":", 1) for f in extra.split("\n"))
names = ";".join(sorted(fields))
canonical = "\n".join(
    ["PUT", quote("/bkt/" + key, safe="/~"), "partNumber=7&uploadId=" + quote("a/b+c=", safe="~")]
    + [n + ":" + fields[n] for n in sorted(fields)] + ["", names, "UNSIGNED-PAYLOAD"])
scope = "20130524/us-east-1/s3/aws4_request"
text = "\n".join(["AWS4-HMAC-SHA256", "20130524T000000Z", scope,
                  hashlib.sha256(canonical.encode()).hexdigest()])
k = ("AWS4" + secret).encode()
for part in scope.split("/"):
    k = hmac.new(k, part.encode(), hashlib.sha256).digest()
print(hmac.new(k, text.encode(), hashlib.sha256).hexdigest())
"#;

#[test]
fn parts_under_odd_keys_are_signed_as_python_signs_them() {
    let endpoint = Endpoint::new("http://store.test:9000", "us-east-1", Addressing::Path).unwrap();
    for (key, _) in ODD_KEYS {
        let target = endpoint.target("bkt", key);
        let fields = vec![
            ("content-length", "5".to_owned()),
            ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=".to_owned()),
        ];
        let head = signed(&target, Method::Put, "partNumber=7&uploadId=a%2Fb%2Bc%3D", fields);
        let signed_fields = "content-length:5\nhost:store.test:9000\n\
            x-amz-checksum-crc64nvme:AAAAAAAAAAA=\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n\
            x-amz-date:20130524T000000Z";
        let oracle = Command::new("python3")
            .args(["-c", ORACLE, key, "store.test:9000", SECRET, signed_fields])
            .output()
            .unwrap();
        let expected = String::from_utf8(oracle.stdout).unwrap();
        assert_eq!(expected.trim().len(), 64, "{}", String::from_utf8_lossy(&oracle.stderr));
        assert!(head.contains(&format!("Signature={}\r\n", expected.trim())), "{key:?}: {head}");
    }
}

#[test]
fn buckets_go_where_they_can() {
    let at = |url: &str, addressing, bucket: &str| {
        let target = Endpoint::new(url, "r", addressing).unwrap().target(bucket, "k");
        (target.host, target.authority, target.path)
    };
    let row = |host: &str, authority: &str, path: &str| {
        (host.to_owned(), authority.to_owned(), path.to_owned())
    };
    let (by_path, by_host) = (Addressing::Path, Addressing::Virtual);
    assert_eq!(at("http://minio:9000", by_path, "bkt"), row("minio", "minio:9000", "/bkt/k"));
    assert_eq!(at("http://minio:9000", by_host, "bkt"), row("bkt.minio", "bkt.minio:9000", "/k"));
    assert_eq!(at("http://minio/", by_host, "a.b-c"), row("a.b-c.minio", "a.b-c.minio", "/k"));
    // The port that goes without saying is the scheme's.
    assert_eq!(at("https://minio", by_host, "bkt"), row("bkt.minio", "bkt.minio", "/k"));
    assert_eq!(at("https://minio:443", by_path, "bkt"), row("minio", "minio", "/bkt/k"));
    assert_eq!(at("https://minio:80", by_path, "bkt"), row("minio", "minio:80", "/bkt/k"));
    assert_eq!(at("http://minio:443", by_path, "bkt"), row("minio", "minio:443", "/bkt/k"));
    assert_eq!(at("https://[::1]", by_host, "bkt"), row("::1", "[::1]", "/bkt/k"));
    // No host name can hold these.
    for bucket in ["Upper", "under_score", "ab", "-lead", "tail-", "a..b"] {
        let path = format!("/{bucket}/k");
        assert_eq!(at("http://minio:9000", by_host, bucket), row("minio", "minio:9000", &path));
    }
    assert_eq!(
        at("http://127.0.0.1:9000", by_host, "bkt"),
        row("127.0.0.1", "127.0.0.1:9000", "/bkt/k")
    );
    assert_eq!(at("http://[::1]:9000", by_host, "bkt"), row("::1", "[::1]:9000", "/bkt/k"));
}

#[test]
fn endpoints_that_cannot_be_used_say_why() {
    let of = |url| Endpoint::new(url, "r", Addressing::Path).unwrap_err();
    for url in [
        "",
        "minio:9000",
        "https://",
        "https://h/path",
        "ftp://h",
        "http://",
        "http://h/path",
        "http://h?x",
        "http://h#x",
    ] {
        assert_eq!(of(url).kind(), ErrorKind::Config, "{url}");
    }
    let with_password = of("http://me:sesame@h");
    assert_eq!(with_password.kind(), ErrorKind::Config);
    assert!(!with_password.to_string().contains("sesame"), "{with_password}");
}
