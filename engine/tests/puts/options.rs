//! What the store is told beside the bytes.

use osmo_engine::ErrorKind;
use osmo_engine::config::ChecksumChoice;
use osmo_engine::job::{Encryption, StoreOptions};

use crate::desk::{LARGE, SMALL, each_driver};
use crate::store::{Head, Rules};

const ENCRYPTION: &str = "x-amz-server-side-encryption";
const KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const CLASS: &str = "x-amz-storage-class";
const PAYER: &str = "x-amz-request-payer";

fn says(head: &Head, fields: [Option<&str>; 5]) {
    let names = [ENCRYPTION, KEY, CLASS, PAYER, "content-type"];
    let found = names.map(|name| head.field(name));
    assert_eq!(found, fields, "{head:?}");
    // What is said is signed.
    let signed = head.field("authorization").unwrap();
    for (name, _) in names.iter().zip(fields).filter(|(_, value)| value.is_some()) {
        assert!(signed.contains(name), "{name}: {signed}");
    }
}

#[test]
fn options_stand_where_they_belong() {
    let options = StoreOptions {
        request_payer: true,
        encryption: Some(Encryption::Kms(Some("arn:aws:kms:eu-west-1:1:key/2".to_owned()))),
        storage_class: Some("INTELLIGENT_TIERING".to_owned()),
        content_type: Some("application/x-own; charset=utf-8".to_owned()),
    };
    each_driver(
        &Rules { ends: crate::store::Ends::Silent, ..Rules::all() },
        ChecksumChoice::Auto,
        |desk| {
            let ended = desk.upload_with(&[SMALL, LARGE], options.clone()).unwrap();
            desk.arrived(&ended, &[SMALL, LARGE]);
            let payer = Some("requester");
            let all = [
                Some("aws:kms"),
                Some("arn:aws:kms:eu-west-1:1:key/2"),
                Some("INTELLIGENT_TIERING"),
                payer,
                Some("application/x-own; charset=utf-8"),
            ];
            says(&desk.store.seen("PUT", "/small")[0], all);
            says(&desk.store.seen("POST", "uploads")[0], all);
            for part in desk.store.seen("PUT", "partNumber") {
                says(&part, [None, None, None, payer, None]);
            }
            for head in desk.store.seen("HEAD", "/large") {
                assert_eq!(head.field(PAYER), payer);
            }
            let complete = &desk.store.seen("POST", "uploadId")[0];
            assert_eq!((complete.field(PAYER), complete.field(ENCRYPTION)), (payer, None));
        },
    );
}

#[test]
fn the_stores_own_keys_need_no_name() {
    for (encryption, named) in [(Encryption::S3, "AES256"), (Encryption::Kms(None), "aws:kms")] {
        let options = StoreOptions { encryption: Some(encryption), ..StoreOptions::default() };
        each_driver(&Rules::all(), ChecksumChoice::Trailer, |desk| {
            desk.upload_with(&[SMALL], options.clone()).unwrap();
            let put = &desk.store.seen("PUT", "/small")[0];
            says(put, [Some(named), None, None, None, Some("text/plain")]);
        });
    }
}

#[test]
fn a_giving_up_is_paid_for_as_well() {
    let denied = Rules { denies: Some(("403 Forbidden", "AccessDenied")), ..Rules::all() };
    let options = StoreOptions { request_payer: true, ..StoreOptions::default() };
    each_driver(&denied, ChecksumChoice::Auto, |desk| {
        desk.upload_with(&[LARGE], options.clone()).unwrap();
        assert_eq!(desk.store.seen("DELETE", "uploadId")[0].field(PAYER), Some("requester"));
    });
}

#[test]
fn what_cannot_be_sent_is_refused_before_anything_is() {
    let class = |text: &str| StoreOptions {
        storage_class: Some(text.to_owned()),
        ..StoreOptions::default()
    };
    let kind = |text: &str| StoreOptions {
        content_type: Some(text.to_owned()),
        ..StoreOptions::default()
    };
    let key = |text: &str| StoreOptions {
        encryption: Some(Encryption::Kms(Some(text.to_owned()))),
        ..StoreOptions::default()
    };
    let long = "x".repeat(1_025);
    each_driver(&Rules::all(), ChecksumChoice::Auto, |desk| {
        for options in [
            class("STANDARD\r\nx-amz-acl: public-read"),
            class(""),
            kind("text/plain\n"),
            kind("text/pläin"),
            kind(&long),
            key("k\0"),
            key("k\u{7f}"),
        ] {
            let error = desk.upload_with(&[SMALL], options).map(drop).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        }
        assert!(desk.store.seen("PUT", "").is_empty());
    });
}
