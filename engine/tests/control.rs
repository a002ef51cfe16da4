//! The control plane through the SDK, against scripted answers in S3's
//! documented formats.
#![allow(clippy::unwrap_used)]

mod scripted;

use std::rc::Rc;
use std::time::Duration;

use osmo_engine::access::Environment;
use osmo_engine::config::Access;
use osmo_engine::job::StoreOptions;
use osmo_engine::s3::{Control, PartDone, Rung, open, open_in};
use osmo_engine::uri::Uri;
use osmo_engine::{Error, ErrorKind, Patience, RetryClass};
use scripted::{Peer, Script, Server, answer, refusal, script};

fn with_store<T>(
    scripts: Vec<Script>,
    test: impl AsyncFnOnce(Rc<dyn Control>) -> T,
) -> (T, Vec<String>) {
    with_patience(&Patience::DEFAULT, scripts, test)
}

fn with_patience<T>(
    patience: &Patience,
    scripts: Vec<Script>,
    test: impl AsyncFnOnce(Rc<dyn Control>) -> T,
) -> (T, Vec<String>) {
    let server = Server::start(scripts);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let out = runtime.block_on(async {
        let (_folder, access) = access(Some(server.url()), ENTRY);
        let opened =
            open(&access, &Uri::parse("s3://bkt").unwrap(), &StoreOptions::default(), patience)
                .await
                .unwrap();
        test(opened.control).await
    });
    drop(runtime);
    let heads = server.heads();
    server.finish();
    (out, heads)
}

const ENTRY: &str =
    "auth: {data: {s3://bkt: {access_key_id: id, access_key: sesame-open, region: eu-west-1}}}";

fn access(endpoint_url: Option<String>, file: &str) -> (tempfile::TempDir, Access) {
    let folder = tempfile::tempdir().unwrap();
    let config_file = folder.path().join("config.yaml");
    std::fs::write(&config_file, file).unwrap();
    (folder, Access { endpoint_url, config_file: Some(config_file), ..Access::default() })
}

fn once(answer: Vec<u8>) -> Vec<Script> {
    vec![script(move |peer: &mut Peer| {
        peer.head();
        peer.send(answer);
        peer.closed();
    })]
}

const LISTING: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Name>bkt</Name><Prefix>a</Prefix><KeyCount>3</KeyCount><MaxKeys>1000</MaxKeys>
  ENCODING
  <IsTruncated>true</IsTruncated><NextContinuationToken>1ueGcxLPRx1Tr==</NextContinuationToken>
  <Contents><Key>a/b+c%2Bd%20e%25%C3%BC</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified>
    <ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag><Size>434234</Size></Contents>
  <Contents><Key>a/plain</Key><Size>0</Size></Contents>
  <CommonPrefixes><Prefix>a/x+y/</Prefix></CommonPrefixes>
</ListBucketResult>"#;

#[test]
fn a_listing_is_decoded_when_the_store_says_it_is_encoded() {
    let cases = [
        ("<EncodingType>url</EncodingType>", "a/b c+d e%ü", "a/x y/"),
        ("", "a/b+c%2Bd%20e%25%C3%BC", "a/x+y/"),
    ];
    for (encoding, key, prefix) in cases {
        let xml = LISTING.replace("ENCODING", encoding);
        let ok = answer("200 OK", "Content-Type: application/xml\r\n", xml);
        let (page, heads) = with_store(once(ok), async |control| {
            control.list("bkt", "a", Some("/"), Some("tok+en".to_owned())).await.unwrap()
        });
        assert_eq!(page.objects[0].key, key);
        assert_eq!(page.objects[0].bytes, 434_234);
        assert_eq!(page.objects[0].modified_s, Some(1_255_369_830));
        let etag = "\"fba9dede5f27731c9771645a39863328\"";
        assert_eq!(page.objects[0].etag.as_deref(), Some(etag));
        assert_eq!(page.objects[1].key, "a/plain");
        assert_eq!(page.prefixes, [prefix]);
        assert_eq!(page.next.as_deref(), Some("1ueGcxLPRx1Tr=="));
        let line = heads[0].lines().next().unwrap();
        for part in [
            "GET /bkt",
            "list-type=2",
            "encoding-type=url",
            "prefix=a",
            "delimiter=%2F",
            "continuation-token=tok%2Ben",
            "max-keys=1000",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(heads[0].contains("/eu-west-1/s3/aws4_request"), "{}", heads[0]);
    }
}

#[test]
fn a_listing_that_would_never_end_is_refused() {
    let xml = LISTING.replace("ENCODING", "");
    let (fault, _) = with_store(once(answer("200 OK", "", xml)), async |control| {
        control.list("bkt", "a", None, Some("1ueGcxLPRx1Tr==".to_owned())).await.unwrap_err()
    });
    assert_eq!(fault.kind(), ErrorKind::Protocol);
    assert!(fault.to_string().contains("does not advance"), "{fault}");
}

#[test]
fn a_head_tells_size_tag_and_checksums() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nETag: \"t\"\r\n\
        x-amz-checksum-crc64nvme: AAAAAAAAAAA=\r\nx-amz-checksum-type: FULL_OBJECT\r\n\r\n";
    let (info, heads) = with_store(once(head.into()), async |control| {
        control.head("bkt", "k y").await.unwrap().unwrap()
    });
    assert_eq!((info.key.as_str(), info.bytes), ("k y", 12));
    assert_eq!(info.checksums, [("crc64nvme".to_owned(), "AAAAAAAAAAA=".to_owned())]);
    assert!(heads[0].starts_with("HEAD /bkt/k%20y"), "{}", heads[0]);
    assert!(heads[0].to_lowercase().contains("x-amz-checksum-mode: enabled"), "{}", heads[0]);

    let composite = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\
        x-amz-checksum-crc32: AAAAAA==-3\r\nx-amz-checksum-type: COMPOSITE\r\n\r\n";
    let (info, _) = with_store(once(composite.into()), async |control| {
        control.head("bkt", "k").await.unwrap().unwrap()
    });
    assert_eq!(info.checksums, [("crc32".to_owned(), "AAAAAA==-3".to_owned())]);

    // Of parts, and nobody knows how many.
    let unclear = composite.replace("==-3", "==").into();
    let (info, _) =
        with_store(once(unclear), async |control| control.head("bkt", "k").await.unwrap().unwrap());
    assert_eq!(info.checksums, []);
}

#[test]
fn a_missing_object_is_none_and_a_forbidden_one_an_error() {
    let (none, _) = with_store(once(answer("404 Not Found", "", "")), async |control| {
        control.head("bkt", "k").await
    });
    assert_eq!(none.unwrap(), None);
    let (denied, _) = with_store(once(answer("403 Forbidden", "", "")), async |control| {
        control.head("bkt", "k").await.unwrap_err()
    });
    assert_eq!(denied.kind(), ErrorKind::Denied);
}

#[test]
fn a_multipart_upload_lives_its_life() {
    const CREATED: &str = "<InitiateMultipartUploadResult><Bucket>bkt</Bucket><Key>k</Key>\
        <UploadId>VXBsb2Fk/SUQ+</UploadId></InitiateMultipartUploadResult>";
    const COMPLETED: &str = "<CompleteMultipartUploadResult><Key>k</Key>\
        <ETag>\"3858f62230ac3c915f300c664312c11f-2\"</ETag></CompleteMultipartUploadResult>";
    let scripts = vec![script(|peer: &mut Peer| {
        let create = peer.head();
        assert!(create.starts_with("POST /bkt/k?uploads"), "{create}");
        for field in [
            "x-amz-checksum-algorithm: crc64nvme",
            "x-amz-checksum-type: full_object",
            "content-type: text/plain",
        ] {
            assert!(create.to_lowercase().contains(field), "{field}: {create}");
        }
        peer.send(answer("200 OK", "", CREATED));
        let complete = peer.head();
        assert!(complete.contains("uploadId=VXBsb2Fk%2FSUQ%2B"), "{complete}");
        let lower = complete.to_lowercase();
        assert!(lower.contains("x-amz-checksum-crc64nvme: aaaaaaaaaaa="), "{complete}");
        let length = lower.split("content-length: ").nth(1).unwrap();
        let body = peer.body(length.lines().next().unwrap().parse().unwrap());
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains("<PartNumber>1</PartNumber>"), "{body}");
        assert!(body.contains("<ChecksumCRC64NVME>BBBBBBBBBBA=</ChecksumCRC64NVME>"), "{body}");
        peer.send(answer("200 OK", "", COMPLETED));
        assert!(peer.head().starts_with("DELETE /bkt/k?"));
        peer.send(refusal("404 Not Found", "NoSuchUpload", "gone"));
        peer.closed();
    })];
    with_store(scripts, async |control| {
        let upload = control.create("bkt", "k", "text/plain", Rung::Header).await.unwrap();
        assert_eq!(upload, "VXBsb2Fk/SUQ+");
        let part = PartDone {
            number: 1,
            etag: "\"e\"".to_owned(),
            crc64nvme: Some("BBBBBBBBBBA=".to_owned()),
        };
        let whole = Some("AAAAAAAAAAA=".to_owned());
        let done = control.complete("bkt", "k", &upload, vec![part], whole, false).await.unwrap();
        assert_eq!(done.etag.as_deref(), Some("\"3858f62230ac3c915f300c664312c11f-2\""));
        control.abort("bkt", "k", &upload).await.unwrap();
    });
}

#[test]
fn only_a_completion_may_think_for_long() {
    let pause = Duration::from_millis(600);
    let patience = Patience { first_byte: pause / 3, ..Patience::DEFAULT };
    let late = move |body: &'static str| {
        vec![script(move |peer: &mut Peer| {
            peer.head();
            std::thread::sleep(pause);
            peer.send(answer("200 OK", "", body));
            peer.closed();
        })]
    };
    let completed = late("<CompleteMultipartUploadResult/>");
    with_patience(&patience, completed, async |control| {
        control.complete("bkt", "k", "u", Vec::new(), None, false).await.unwrap();
    });
    let listed = late("<ListBucketResult/>");
    let (fault, _) = with_patience(&patience, listed, async |control| {
        control.list("bkt", "", None, None).await.unwrap_err()
    });
    assert_eq!(fault.kind(), ErrorKind::Unreachable, "{fault}");
}

#[test]
fn a_completion_that_fails_after_its_head_is_a_failure() {
    let late = refusal("200 OK", "InternalError", "We encountered an internal error.");
    let (fault, _) = with_store(once(late), async |control| {
        control.complete("bkt", "k", "u", Vec::new(), None, false).await.unwrap_err()
    });
    assert_eq!(fault.kind(), ErrorKind::Store, "{fault}");
}

#[test]
fn refusals_are_told_as_on_the_ring_and_only_once() {
    let rows = [
        ("403 Forbidden", "SignatureDoesNotMatch", ErrorKind::Denied, "secret key is wrong"),
        ("404 Not Found", "NoSuchBucket", ErrorKind::NotFound, "no bucket bkt"),
        ("503 Slow Down", "SlowDown", ErrorKind::Throttled, "fewer requests"),
    ];
    for (status, code, kind, words) in rows {
        let (fault, heads) = with_store(once(refusal(status, code, "why")), async |control| {
            control.list("bkt", "", None, None).await.unwrap_err()
        });
        assert_eq!(fault.kind(), kind, "{fault}");
        assert!(fault.to_string().contains(words), "{fault}");
        assert!(!format!("{fault} {fault:?}").contains("sesame"), "{fault:?}");
        assert_eq!(heads.len(), 1, "the SDK does not retry");
    }
}

fn opening(endpoint: Option<&str>, file: &str, uri: &str) -> Error {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_folder, access) = access(endpoint.map(str::to_owned), file);
    let uri = Uri::parse(uri).unwrap();
    let opened = runtime.block_on(open_in(
        &access,
        &Environment::default(),
        &uri,
        &StoreOptions::default(),
        &Patience::DEFAULT,
    ));
    opened.err().expect("it cannot be opened")
}

#[test]
fn what_cannot_be_opened_says_why() {
    let azure = opening(Some("http://h"), ENTRY, "azure://a/c");
    assert_eq!(azure.kind(), ErrorKind::Unsupported);
    assert!(azure.to_string().contains("azure://a/c"), "{azure}");
    let tos = opening(Some("http://h"), ENTRY, "tos://e/b");
    assert_eq!(tos.kind(), ErrorKind::Config);
    assert!(tos.to_string().contains("region"), "{tos}");
    let url = opening(Some("h:9000"), ENTRY, "s3://bkt");
    assert_eq!(url.kind(), ErrorKind::Config, "{url}");
}

#[test]
fn nobody_at_the_endpoint_is_unreachable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_folder, access) = access(Some(format!("http://{free}")), ENTRY);
    let fault = runtime.block_on(async {
        let opened = open(
            &access,
            &Uri::parse("s3://bkt").unwrap(),
            &StoreOptions::default(),
            &Patience::DEFAULT,
        )
        .await
        .unwrap();
        opened.control.list("bkt", "", None, None).await.unwrap_err()
    });
    assert_eq!(fault.kind(), ErrorKind::Unreachable);
    assert!(fault.to_string().contains(&free.to_string()), "{fault}");
}

/// A refusal that names the region the bucket is in.
fn elsewhere(region: &str) -> Vec<u8> {
    let body = format!(
        "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong</Message>\
         <Region>{region}</Region></Error>"
    );
    answer("400 Bad Request", CLOSE, body)
}

/// Each request comes on a connection of its own.
const CLOSE: &str = "Connection: close\r\n";

#[test]
fn a_bucket_s_first_move_is_followed_and_remembered_and_the_second_is_not() {
    let empty = "<ListBucketResult><Name>bkt</Name></ListBucketResult>";
    let scripts = vec![
        once(elsewhere("ap-south-1")).remove(0),
        once(answer("200 OK", CLOSE, empty)).remove(0),
        once(elsewhere("sa-east-1")).remove(0),
    ];
    let (_, heads) = with_store(scripts, async |control| {
        let list = async || control.list("bkt", "a", None, None).await;
        let moved = list().await.unwrap_err();
        assert_eq!(moved.class(), RetryClass::Retry, "{moved}");
        assert!(moved.to_string().contains("in region ap-south-1"), "{moved}");
        assert!(list().await.unwrap().objects.is_empty());
        let again = list().await.unwrap_err();
        assert_eq!((again.kind(), again.class()), (ErrorKind::Config, RetryClass::Fatal));
        assert!(again.to_string().contains("in region sa-east-1, not ap-south-1"), "{again}");
    });
    for (head, region) in heads.iter().zip(["eu-west-1", "ap-south-1", "ap-south-1"]) {
        assert!(head.contains(&format!("/{region}/s3/aws4_request")), "{head}");
    }
}

#[test]
fn a_region_that_is_none_is_not_followed() {
    let (fault, _) = with_store(once(elsewhere("x.evil.example/")), async |control| {
        control.list("bkt", "a", None, None).await.unwrap_err()
    });
    assert_eq!((fault.kind(), fault.class()), (ErrorKind::Config, RetryClass::Fatal));
}

#[test]
fn what_is_denied_stays_denied_and_what_has_expired_may_be_renewed() {
    let rows = [
        ("403 Forbidden", "AccessDenied", "no", RetryClass::Fatal),
        ("403 Forbidden", "SignatureDoesNotMatch", "no", RetryClass::Fatal),
        ("403 Forbidden", "InvalidAccessKeyId", "no", RetryClass::Fatal),
        ("400 Bad Request", "ExpiredToken", "old", RetryClass::Auth),
        ("400 Bad Request", "TokenRefreshRequired", "old", RetryClass::Auth),
        ("400 Bad Request", "InvalidToken", "old", RetryClass::Auth),
        ("403 Forbidden", "AccessDenied", "Request has expired", RetryClass::Auth),
    ];
    for (status, code, message, class) in rows {
        let (fault, _) = with_store(once(refusal(status, code, message)), async |control| {
            let fault = control.list("bkt", "", None, None).await.unwrap_err();
            // A key of the credential file has no source that renews it.
            assert_eq!(control.fresh().await, class == RetryClass::Fatal, "{fault}");
            fault
        });
        assert_eq!((fault.kind(), fault.class()), (ErrorKind::Denied, class), "{fault}");
    }
}

#[test]
fn a_store_is_named_as_the_user_names_it() {
    for (profile, uri, named) in [
        ("gs://bkt", "gs://bkt/p", "gs://bkt/k"),
        ("swift://h.example/ns", "swift://h.example/ns/bkt/p", "swift://h.example/ns/bkt/k"),
        ("tos://h.example/bkt", "tos://h.example/bkt/p", "tos://h.example/bkt/k"),
    ] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = Server::start(once(answer("403 Forbidden", "", "")));
        let entry = format!(
            "auth: {{data: {{\"{profile}\": {{access_key_id: i, access_key: s, region: r-1}}}}}}"
        );
        let (_folder, access) = access(Some(server.url()), &entry);
        let uri = Uri::parse(uri).unwrap();
        let (environment, options) = (Environment::default(), StoreOptions::default());
        let refused = runtime.block_on(async {
            let opened = open_in(&access, &environment, &uri, &options, &Patience::DEFAULT).await;
            opened.unwrap().control.head("bkt", "k").await.unwrap_err().to_string()
        });
        assert!(refused.contains(named) && !refused.contains("s3://"), "{refused}");
        // Its connections end with it.
        drop(runtime);
        server.finish();
    }
}

#[test]
fn gs_takes_one_key_a_request_and_its_own_region() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start(once(answer("404 Not Found", "", "")));
    let entry = "auth: {data: {gs://bkt: {access_key_id: gs-id, access_key: s}}}";
    let (_folder, access) = access(Some(server.url()), entry);
    let environment =
        Environment { region: Some("eu-west-1".to_owned()), ..Environment::default() };
    runtime.block_on(async {
        let uri = Uri::parse("gs://bkt/p").unwrap();
        let opened =
            open_in(&access, &environment, &uri, &StoreOptions::default(), &Patience::DEFAULT)
                .await
                .unwrap();
        assert!(!opened.control.deletes_batches());
        assert_eq!(opened.control.head("bkt", "k").await.unwrap(), None);
    });
    drop(runtime);
    let head = &server.heads()[0];
    assert!(head.starts_with("HEAD /bkt/k "), "{head}");
    assert!(head.contains("Credential=gs-id/") && head.contains("/us-east1/s3/"), "{head}");
    server.finish();
}
