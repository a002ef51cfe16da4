//! Remote URIs: every row of the scheme table, and what is refused.

use osmo_engine::ErrorKind;
use osmo_engine::uri::{Scheme, Uri};

struct Row {
    text: &'static str,
    scheme: Scheme,
    profile: &'static str,
    authority: Option<&'static str>,
    bucket: &'static str,
    prefix: &'static str,
    may_be_object: bool,
}

const ROWS: &[Row] = &[
    Row {
        text: "s3://bucket",
        scheme: Scheme::S3,
        profile: "s3://bucket",
        authority: None,
        bucket: "bucket",
        prefix: "",
        may_be_object: false,
    },
    Row {
        text: "s3://bucket/a/b",
        scheme: Scheme::S3,
        profile: "s3://bucket",
        authority: None,
        bucket: "bucket",
        prefix: "a/b",
        may_be_object: true,
    },
    Row {
        text: "s3://bucket/a b/ü%20+/",
        scheme: Scheme::S3,
        profile: "s3://bucket",
        authority: None,
        bucket: "bucket",
        prefix: "a b/ü%20+/",
        may_be_object: false,
    },
    Row {
        text: "gs://bucket/x",
        scheme: Scheme::Gs,
        profile: "gs://bucket",
        authority: None,
        bucket: "bucket",
        prefix: "x",
        may_be_object: true,
    },
    Row {
        text: "tos://tos-s3-cn-beijing.volces.com/bucket/x/y",
        scheme: Scheme::Tos,
        profile: "tos://tos-s3-cn-beijing.volces.com/bucket",
        authority: Some("tos-s3-cn-beijing.volces.com"),
        bucket: "bucket",
        prefix: "x/y",
        may_be_object: true,
    },
    Row {
        text: "swift://host:8080/AUTH_team/container/x/",
        scheme: Scheme::Swift,
        profile: "swift://host:8080/AUTH_team",
        authority: Some("host:8080/AUTH_team"),
        bucket: "container",
        prefix: "x/",
        may_be_object: false,
    },
    Row {
        text: "azure://account/container",
        scheme: Scheme::Azure,
        profile: "azure://account",
        authority: Some("account"),
        bucket: "container",
        prefix: "",
        may_be_object: false,
    },
];

#[test]
fn every_scheme_parses_into_its_components() {
    for row in ROWS {
        let uri = Uri::parse(row.text).unwrap_or_else(|fault| panic!("{}: {fault}", row.text));
        assert_eq!(uri.scheme(), row.scheme, "{}", row.text);
        assert_eq!(uri.profile(), row.profile, "{}", row.text);
        assert_eq!(uri.authority(), row.authority, "{}", row.text);
        assert_eq!(uri.bucket(), row.bucket, "{}", row.text);
        assert_eq!(uri.prefix(), row.prefix, "{}", row.text);
        assert_eq!(uri.may_be_object(), row.may_be_object, "{}", row.text);
        assert_eq!(uri.to_string(), row.text);
    }
}

#[test]
fn a_slash_after_the_bucket_is_the_whole_bucket() {
    for text in ["s3://bucket/", "s3://bucket"] {
        let uri = Uri::parse(text).expect(text);
        assert_eq!((uri.bucket(), uri.prefix()), ("bucket", ""));
    }
}

#[test]
fn what_the_grammar_does_not_allow_is_refused_with_its_shape() {
    let cases = [
        ("", "must start with"),
        ("bucket/a", "must start with"),
        ("S3://bucket", "must start with"),
        ("https://bucket", "must start with"),
        ("s3:/bucket", "must start with"),
        ("s3://", "s3://bucket[/path]"),
        ("s3:///a", "s3://bucket[/path]"),
        ("s3://bucket//a", "s3://bucket[/path]"),
        ("s3://bucket/a//b", "empty"),
        ("s3://bucket/a//", "empty"),
        ("s3://bucket/a,b", ", ; *"),
        ("s3://bucket/a;b", ", ; *"),
        ("s3://bucket/*", ", ; *"),
        ("tos://endpoint", "tos://endpoint/bucket[/path]"),
        ("swift://host/namespace", "swift://host/namespace/container[/path]"),
        ("azure://account/", "azure://account/container[/path]"),
    ];
    for (text, hint) in cases {
        let fault = Uri::parse(text).expect_err(text);
        assert_eq!(fault.kind(), ErrorKind::Usage, "{text}");
        assert!(fault.to_string().contains(hint), "{text}: {fault}");
    }
}
