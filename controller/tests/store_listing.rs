//! Keys and listings, seen through the AWS SDK.
#![allow(clippy::unwrap_used)]

mod store_common;

use std::collections::BTreeSet;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, EncodingType, ObjectIdentifier};
use osmo_controller::store::FileStore;
use store_common::{Fixture, code};

/// Keys that are legal in S3 and awkward on a file system.
fn odd_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "a",
        "a/b",
        "a/",
        "a//b",
        "/leading",
        "..",
        "../up",
        "x/../y",
        ".",
        "with space",
        "plus+",
        "percent%41",
        "percent%",
        "question?x=1",
        "hash#",
        "ampersand&",
        "quote\"'",
        "back\\slash",
        "ünïcode/日本語",
        "\u{1f600}",
        "e\u{301}",
        "<xml>",
        "comma,semi;",
        "trailing ",
        "tilde~*()!",
    ]
    .iter()
    .map(|key| (*key).to_owned())
    .collect();
    keys.push("k".repeat(1024));
    keys.push(format!("long/{}/x", "c".repeat(300)));
    keys
}

async fn put(s3: &Client, key: &str, body: &str) {
    let body = ByteStream::from(body.as_bytes().to_vec());
    s3.put_object().bucket("keys").key(key).body(body).send().await.unwrap();
}

#[tokio::test]
async fn odd_keys_are_kept_apart() {
    let fixture = Fixture::start().await;
    let s3 = fixture.client();
    s3.create_bucket().bucket("keys").send().await.unwrap();
    let keys = odd_keys();
    for key in &keys {
        put(&s3, key, &format!("body of {key}")).await;
    }
    let fixture = fixture.restart().await;
    let s3 = fixture.client();
    for key in &keys {
        let got = s3.get_object().bucket("keys").key(key).send().await.unwrap();
        let body = got.body.collect().await.unwrap().into_bytes();
        assert_eq!(String::from_utf8_lossy(&body), format!("body of {key}"));
    }
    let list = s3.list_objects_v2().bucket("keys").send().await.unwrap();
    let listed: Vec<&str> = list.contents().iter().filter_map(|o| o.key()).collect();
    let mut sorted: Vec<&str> = keys.iter().map(String::as_str).collect();
    sorted.sort_unstable_by_key(|key| key.as_bytes());
    assert_eq!(listed, sorted, "the order is that of the bytes");

    let long = "k".repeat(1025);
    let body = ByteStream::from_static(b"x");
    let refused = s3.put_object().bucket("keys").key(long).body(body).send().await.unwrap_err();
    assert_eq!(code(&refused), "KeyTooLongError");

    let all = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build().unwrap());
    let all = Delete::builder().set_objects(Some(all.collect())).build().unwrap();
    let deleted = s3.delete_objects().bucket("keys").delete(all).send().await.unwrap();
    assert_eq!((deleted.deleted().len(), deleted.errors().len()), (keys.len(), 0));
    let list = s3.list_objects_v2().bucket("keys").send().await.unwrap();
    assert_eq!(list.key_count(), Some(0));
    fixture.stop().await;
}

#[tokio::test]
async fn control_characters_list_url_encoded() {
    let fixture = Fixture::start().await;
    let s3 = fixture.client();
    s3.create_bucket().bucket("keys").send().await.unwrap();
    put(&s3, "bell\u{7}/tab\tend é+", "x").await;
    let list = s3.list_objects_v2().bucket("keys").encoding_type(EncodingType::Url);
    let list = list.send().await.unwrap();
    // Percent-encoded UTF-8 (RFC 3986), the slash left as it is.
    assert_eq!(list.contents()[0].key(), Some("bell%07/tab%09end%20%C3%A9%2B"));
    fixture.stop().await;
}

/// 5,000 keys in 50 folders, written in this process, plus what sits around them.
fn fill(store: &FileStore) -> Vec<String> {
    store.create_bucket("keys").unwrap();
    let mut keys = Vec::new();
    for folder in 0..50 {
        for number in 0..100 {
            keys.push(format!("dir {folder:02}+%/öbject-{number:03}"));
        }
    }
    for key in &keys {
        let mut put = store.put("keys", key).unwrap();
        put.write(b"x").unwrap();
        put.finish().unwrap();
    }
    keys
}

async fn walk(
    s3: &Client,
    prefix: &str,
    delimiter: Option<&str>,
    page: i32,
) -> (Vec<String>, Vec<String>) {
    let (mut keys, mut prefixes, mut token) = (Vec::new(), Vec::new(), None::<String>);
    loop {
        let list = s3
            .list_objects_v2()
            .bucket("keys")
            .prefix(prefix)
            .set_delimiter(delimiter.map(str::to_owned))
            .max_keys(page)
            .set_continuation_token(token)
            .send()
            .await
            .unwrap();
        let entries = list.contents().len() + list.common_prefixes().len();
        assert_eq!(list.key_count(), Some(i32::try_from(entries).unwrap()));
        assert!(entries <= usize::try_from(page).unwrap());
        keys.extend(list.contents().iter().filter_map(|o| o.key().map(str::to_owned)));
        prefixes
            .extend(list.common_prefixes().iter().filter_map(|p| p.prefix().map(str::to_owned)));
        if list.is_truncated() != Some(true) {
            assert_eq!(list.next_continuation_token(), None);
            return (keys, prefixes);
        }
        token = list.next_continuation_token().map(str::to_owned);
        assert!(token.is_some());
    }
}

#[tokio::test]
async fn five_thousand_keys_page_without_loss() {
    let fixture = Fixture::start().await;
    let keys = fill(fixture.server.store());
    let s3 = fixture.client();
    for page in [1000, 333] {
        let (listed, prefixes) = walk(&s3, "", None, page).await;
        assert!(listed == keys && prefixes.is_empty(), "pages of {page}");
    }
    let (listed, _) = walk(&s3, "dir 07+%/", Some("/"), 7).await;
    assert_eq!(listed, keys[700..800]);
    for page in [1, 7, 50, 1000] {
        let (listed, prefixes) = walk(&s3, "", Some("/"), page).await;
        let folders: BTreeSet<String> =
            keys.iter().map(|key| key[.."dir 00+%/".len()].to_owned()).collect();
        assert!(listed.is_empty(), "every key is under a prefix");
        assert_eq!(prefixes, folders.into_iter().collect::<Vec<_>>(), "pages of {page}");
    }
    let after = s3.list_objects_v2().bucket("keys").start_after(&keys[4998]).send().await.unwrap();
    assert_eq!(after.contents()[0].key(), Some(keys[4999].as_str()));
    assert_eq!(after.key_count(), Some(1));
    let beyond = s3.list_objects_v2().bucket("keys").max_keys(5000).send().await.unwrap();
    assert_eq!(beyond.key_count(), Some(1000), "a page is never larger");
    let none = s3.list_objects_v2().bucket("keys").max_keys(0).send().await.unwrap();
    assert_eq!((none.key_count(), none.is_truncated()), (Some(0), Some(false)));
    let wrong = s3.list_objects_v2().bucket("keys").continuation_token("***").send().await;
    assert_eq!(code(&wrong.unwrap_err()), "InvalidArgument");
    fixture.stop().await;
}

#[tokio::test]
async fn the_first_version_pages_by_marker() {
    let fixture = Fixture::start().await;
    let keys = fill(fixture.server.store());
    let s3 = fixture.client();
    let (mut listed, mut marker) = (Vec::new(), None::<String>);
    loop {
        let list = s3.list_objects().bucket("keys").set_marker(marker).send().await.unwrap();
        listed.extend(list.contents().iter().filter_map(|o| o.key().map(str::to_owned)));
        if list.is_truncated() != Some(true) {
            break;
        }
        marker = listed.last().cloned();
    }
    assert!(listed == keys);
    let first = s3.list_objects().bucket("keys").delimiter("/").max_keys(2).send().await.unwrap();
    assert_eq!(first.next_marker(), Some("dir 01+%/"));
    let second = s3.list_objects().bucket("keys").delimiter("/").marker("dir 01+%/").max_keys(1);
    let second = second.send().await.unwrap();
    assert_eq!(second.common_prefixes()[0].prefix(), Some("dir 02+%/"));
    fixture.stop().await;
}
