//! Objects, seen through the AWS SDK.
#![allow(clippy::unwrap_used)]

mod store_common;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumMode, MetadataDirective};
use osmo_controller::store::{StoreConfig, StoreServer};
use store_common::{ACCESS_KEY, Fixture, SECRET_KEY, code, status};

#[tokio::test]
async fn put_get_head_delete() {
    let fixture = Fixture::start().await;
    let s3 = fixture.client();
    s3.create_bucket().bucket("first").send().await.unwrap();
    let put = s3
        .put_object()
        .bucket("first")
        .key("a/b c")
        .content_type("text/plain")
        .metadata("colour", "blue")
        .body(ByteStream::from_static(b"123456789"))
        .send()
        .await
        .unwrap();
    // printf 123456789 | md5sum
    assert_eq!(put.e_tag(), Some("\"25f9e794323b453885f5181f1b624d0b\""));
    // The check value of CRC-64/NVME is ae8b14860a799888.
    assert_eq!(put.checksum_crc64_nvme(), Some("rosUhgp5mIg="));

    let get = s3.get_object().bucket("first").key("a/b c").send().await.unwrap();
    assert_eq!(get.content_type(), Some("text/plain"));
    assert_eq!(get.metadata().unwrap().get("colour").map(String::as_str), Some("blue"));
    assert_eq!(get.body.collect().await.unwrap().into_bytes().as_ref(), b"123456789");

    let head = s3.head_object().bucket("first").key("a/b c").send().await.unwrap();
    assert_eq!(head.content_length(), Some(9));
    assert_eq!(head.e_tag(), put.e_tag());

    let list = s3.list_objects_v2().bucket("first").send().await.unwrap();
    assert_eq!(list.key_count(), Some(1));
    assert_eq!(list.contents()[0].key(), Some("a/b c"));
    assert_eq!(list.contents()[0].size(), Some(9));

    s3.delete_object().bucket("first").key("a/b c").send().await.unwrap();
    let gone = s3.get_object().bucket("first").key("a/b c").send().await;
    assert_eq!(code(&gone.unwrap_err()), "NoSuchKey");
    s3.delete_bucket().bucket("first").send().await.unwrap();
    fixture.stop().await;
}

const DIGITS: &[u8] = b"0123456789";

async fn put(s3: &Client, key: &str, body: impl Into<Vec<u8>>) {
    let body = ByteStream::from(body.into());
    s3.put_object().bucket("first").key(key).body(body).send().await.unwrap();
}

async fn bucket(fixture: &Fixture) -> Client {
    let s3 = fixture.client();
    s3.create_bucket().bucket("first").send().await.unwrap();
    s3
}

#[tokio::test]
async fn ranges_at_every_edge() {
    let fixture = Fixture::start().await;
    let s3 = bucket(&fixture).await;
    put(&s3, "digits", DIGITS).await;
    put(&s3, "empty", "").await;
    let cases: [(&str, &[u8], &str); 7] = [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=9-9", b"9", "bytes 9-9/10"),
        ("bytes=3-", b"3456789", "bytes 3-9/10"),
        ("bytes=-4", b"6789", "bytes 6-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
        ("bytes=2-5", b"2345", "bytes 2-5/10"),
    ];
    for (range, bytes, content_range) in cases {
        let got = s3
            .get_object()
            .bucket("first")
            .key("digits")
            .range(range)
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        assert_eq!(got.content_range(), Some(content_range), "{range}");
        assert_eq!(got.content_length(), Some(bytes.len() as i64), "{range}");
        assert_eq!(got.checksum_crc64_nvme(), None, "no whole checksum beside {range}");
        assert_eq!(got.body.collect().await.unwrap().into_bytes().as_ref(), bytes, "{range}");
    }
    for (key, range) in [
        ("digits", "bytes=10-"),
        ("digits", "bytes=-0"),
        ("empty", "bytes=0-"),
        ("empty", "bytes=-1"),
    ] {
        let refused = s3.get_object().bucket("first").key(key).range(range).send().await;
        let refused = refused.unwrap_err();
        assert_eq!((code(&refused).as_str(), status(&refused)), ("InvalidRange", 416), "{range}");
    }
    let empty = s3.get_object().bucket("first").key("empty").send().await.unwrap();
    // md5sum < /dev/null
    assert_eq!(empty.e_tag(), Some("\"d41d8cd98f00b204e9800998ecf8427e\""));
    assert!(empty.body.collect().await.unwrap().into_bytes().is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn whole_reads_carry_the_checksum() {
    let fixture = Fixture::start().await;
    let s3 = bucket(&fixture).await;
    put(&s3, "check", "123456789").await;
    let get = s3.get_object().bucket("first").key("check").checksum_mode(ChecksumMode::Enabled);
    assert_eq!(get.send().await.unwrap().checksum_crc64_nvme(), Some("rosUhgp5mIg="));
    let head = s3.head_object().bucket("first").key("check").checksum_mode(ChecksumMode::Enabled);
    assert_eq!(head.send().await.unwrap().checksum_crc64_nvme(), Some("rosUhgp5mIg="));
    let plain = s3.head_object().bucket("first").key("check").send().await.unwrap();
    assert_eq!(plain.checksum_crc64_nvme(), None);
    fixture.stop().await;
}

#[tokio::test]
async fn declared_digests_are_checked() {
    let fixture = Fixture::start().await;
    let s3 = bucket(&fixture).await;
    let start = || {
        let body = ByteStream::from_static(b"123456789");
        s3.put_object().bucket("first").key("checked").body(body)
    };
    // Check values: CRC-32 cbf43926, CRC-32C e3069283; the rest by md5sum,
    // sha1sum and sha256sum over the same nine bytes.
    start().checksum_crc32("y/Q5Jg==").send().await.unwrap();
    start().checksum_crc32_c("4waSgw==").send().await.unwrap();
    start().checksum_crc64_nvme("rosUhgp5mIg=").send().await.unwrap();
    start().checksum_sha1("98O8HYCOBHMq32eZZczDTKeuNEE=").send().await.unwrap();
    start().checksum_sha256("FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=").send().await.unwrap();
    start().content_md5("JfnnlDI7RTiF9RgfG2JNCw==").send().await.unwrap();

    s3.delete_object().bucket("first").key("checked").send().await.unwrap();
    let wrong = [
        start().checksum_crc32("AAAAAA==").send().await,
        start().checksum_crc32_c("AAAAAA==").send().await,
        start().checksum_crc64_nvme("AAAAAAAAAAA=").send().await,
        start().content_md5("1B2M2Y8AsgTpgAmY7PhCfg==").send().await,
    ];
    for refused in wrong {
        assert_eq!(code(&refused.unwrap_err()), "BadDigest");
    }
    let malformed = start().content_md5("not base64").send().await.unwrap_err();
    assert_eq!(code(&malformed), "InvalidDigest");
    let none = s3.head_object().bucket("first").key("checked").send().await.unwrap_err();
    assert_eq!(status(&none), 404, "a refused body leaves nothing");
    fixture.stop().await;
}

#[tokio::test]
async fn conditions_of_reads_and_writes() {
    let fixture = Fixture::start().await;
    let s3 = bucket(&fixture).await;
    put(&s3, "key", "123456789").await;
    let etag = "\"25f9e794323b453885f5181f1b624d0b\"";
    let get = || s3.get_object().bucket("first").key("key");
    let (past, future) = (DateTime::from_secs(1_000_000_000), DateTime::from_secs(4_000_000_000));

    get().if_match(etag).send().await.unwrap();
    get().if_unmodified_since(future).send().await.unwrap();
    get().if_modified_since(past).send().await.unwrap();
    get().if_match(etag).if_unmodified_since(past).send().await.unwrap();
    let refused = [
        (get().if_match("\"other\"").send().await, 412),
        (get().if_unmodified_since(past).send().await, 412),
        (get().if_none_match(etag).send().await, 304),
        (get().if_modified_since(future).send().await, 304),
    ];
    for (refused, expected) in refused {
        assert_eq!(status(&refused.unwrap_err()), expected);
    }

    let write = || s3.put_object().bucket("first").key("key").body(ByteStream::from_static(b"2"));
    let exists = write().if_none_match("*").send().await.unwrap_err();
    assert_eq!(code(&exists), "PreconditionFailed");
    let other = write().if_match("\"other\"").send().await.unwrap_err();
    assert_eq!(code(&other), "PreconditionFailed");
    write().if_match(etag).send().await.unwrap();
    fixture.stop().await;
}

#[tokio::test]
async fn copies_keep_or_replace_what_was_said() {
    let fixture = Fixture::start().await;
    let s3 = bucket(&fixture).await;
    s3.put_object()
        .bucket("first")
        .key("from here")
        .metadata("colour", "blue")
        .body(ByteStream::from_static(b"123456789"))
        .send()
        .await
        .unwrap();
    let copy = || s3.copy_object().bucket("first").copy_source("first/from%20here");
    copy().key("kept").send().await.unwrap();
    copy()
        .key("replaced")
        .metadata_directive(MetadataDirective::Replace)
        .metadata("colour", "red")
        .send()
        .await
        .unwrap();
    put(&s3, "from here", "changed").await;
    for (key, colour) in [("kept", "blue"), ("replaced", "red")] {
        let got = s3.get_object().bucket("first").key(key).send().await.unwrap();
        assert_eq!(got.metadata().unwrap()["colour"], colour);
        assert_eq!(got.body.collect().await.unwrap().into_bytes().as_ref(), b"123456789");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let fixture = Fixture::start().await;
    let s3 = bucket(&fixture).await;
    put(&s3, "kept", "123456789").await;
    put(&s3, "deleted", "x").await;
    s3.delete_object().bucket("first").key("deleted").send().await.unwrap();
    // A data file without a record, and a record cut short, as a crash leaves them.
    let root = fixture.folder.path().join("buckets/first");
    std::fs::create_dir_all(root.join("data/ff")).unwrap();
    let orphan = root.join("data/ff/00000000000000ff");
    std::fs::write(&orphan, "half a body").unwrap();
    let mut journal = std::fs::OpenOptions::new().append(true).open(root.join("journal")).unwrap();
    std::io::Write::write_all(&mut journal, b"{\"put\":{\"key\":\"to").unwrap();

    let fixture = fixture.restart().await;
    let s3 = fixture.client();
    let list = s3.list_objects_v2().bucket("first").send().await.unwrap();
    let keys: Vec<_> = list.contents().iter().filter_map(|o| o.key()).collect();
    assert_eq!(keys, ["kept"]);
    assert!(!orphan.exists());
    put(&s3, "later", "y").await;
    let fixture = fixture.restart().await;
    let s3 = fixture.client();
    let kept = s3.get_object().bucket("first").key("kept").send().await.unwrap();
    assert_eq!(kept.e_tag(), Some("\"25f9e794323b453885f5181f1b624d0b\""));
    assert_eq!(kept.body.collect().await.unwrap().into_bytes().as_ref(), b"123456789");
    s3.head_object().bucket("first").key("later").send().await.unwrap();
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_never_see_a_mix() {
    const BYTES: usize = 3 << 20;
    let fixture = Fixture::start().await;
    let s3 = bucket(&fixture).await;
    put(&s3, "hot", vec![0; BYTES]).await;
    let writer = {
        let s3 = s3.clone();
        tokio::spawn(async move {
            for round in 1..=12 {
                put(&s3, "hot", vec![round; BYTES]).await;
            }
        })
    };
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let s3 = s3.clone();
            tokio::spawn(async move {
                let mut last = 0;
                while last < 12 {
                    let got = s3.get_object().bucket("first").key("hot").send().await.unwrap();
                    let body = got.body.collect().await.unwrap().into_bytes();
                    assert_eq!(body.len(), BYTES);
                    assert!(body.iter().all(|byte| *byte == body[0]), "a mix of two versions");
                    assert!(body[0] >= last, "an old version came back");
                    last = body[0];
                }
            })
        })
        .collect();
    writer.await.unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
    fixture.stop().await;
}

#[tokio::test]
async fn refusals_have_their_s3_codes() {
    let fixture = Fixture::start().await;
    let s3 = bucket(&fixture).await;
    let twice = s3.create_bucket().bucket("first").send().await.unwrap_err();
    assert_eq!((code(&twice).as_str(), status(&twice)), ("BucketAlreadyOwnedByYou", 409));
    let none = s3.list_objects_v2().bucket("absent").send().await.unwrap_err();
    assert_eq!((code(&none).as_str(), status(&none)), ("NoSuchBucket", 404));
    let none = s3.head_bucket().bucket("absent").send().await.unwrap_err();
    assert_eq!(status(&none), 404);
    put(&s3, "held", "x").await;
    let held = s3.delete_bucket().bucket("first").send().await.unwrap_err();
    assert_eq!(code(&held), "BucketNotEmpty");

    let wrong = fixture.client_with(ACCESS_KEY, "not the secret");
    let wrong = wrong.get_object().bucket("first").key("held").send().await.unwrap_err();
    assert_eq!((code(&wrong).as_str(), status(&wrong)), ("SignatureDoesNotMatch", 403));
    let stranger = fixture.client_with("nobody", SECRET_KEY);
    let stranger = stranger.get_object().bucket("first").key("held").send().await.unwrap_err();
    assert_eq!((code(&stranger).as_str(), status(&stranger)), ("InvalidAccessKeyId", 403));

    let buckets = s3.list_buckets().send().await.unwrap();
    assert_eq!(buckets.buckets()[0].name(), Some("first"));
    s3.get_bucket_location().bucket("first").send().await.unwrap();
    fixture.stop().await;
}

#[tokio::test]
async fn a_folder_is_served_once() {
    let fixture = Fixture::start().await;
    let again = StoreConfig::new(fixture.folder.path(), ACCESS_KEY, SECRET_KEY);
    let refused = StoreServer::start(again).await.unwrap_err();
    assert!(refused.to_string().contains("in use by another process"), "{refused}");
    fixture.stop().await;
}

#[tokio::test]
async fn a_body_from_a_file_streams_in_chunks() {
    let fixture = Fixture::start().await;
    let s3 = bucket(&fixture).await;
    let path = fixture.folder.path().join("body");
    std::fs::write(&path, vec![b'z'; 8_000_001]).unwrap();
    let md5 = std::process::Command::new("md5sum").arg(&path).output().unwrap();
    let md5 = String::from_utf8(md5.stdout).unwrap();
    let put = s3.put_object().bucket("first").key("streamed");
    let put = put.body(ByteStream::from_path(&path).await.unwrap()).send().await.unwrap();
    assert_eq!(put.e_tag(), Some(format!("\"{}\"", &md5[..32]).as_str()));
    let got = s3.get_object().bucket("first").key("streamed").send().await.unwrap();
    assert_eq!(got.content_encoding(), None, "how it travelled is not what it is");
    assert_eq!(got.body.collect().await.unwrap().to_vec(), std::fs::read(&path).unwrap());
    fixture.stop().await;
}
