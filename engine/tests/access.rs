//! The credential file and the orders of precedence.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use osmo_engine::ErrorKind;
use osmo_engine::access::{Addressing, CredentialFile, Environment, Route, Secret};
use osmo_engine::config::Access;
use osmo_engine::uri::Uri;

const FILE: &str = r#"
auth:
  data:
    s3://my-bucket: {access_key_id: AK, access_key: SK, endpoint: "s3://my-bucket", region: eu-west-1, override_url: "http://minio:9000", addressing_style: path}
    s3://plain:
      access_key_id: id
      access_key: sesame-open
    s3://overridden:
      override_url: http://minio:9000
    s3://auto:
      override_url: http://minio:9000
      addressing_style: auto
    s3://half:
      access_key_id: id
  other: {anything: 1}
login: [1, 2]
"#;

fn environment(variables: &'static [(&'static str, &'static str)]) -> Environment {
    Environment::from_lookup(|name| {
        variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
    })
}

fn route(
    flag: Option<&str>,
    variables: &'static [(&'static str, &'static str)],
    uri: &str,
) -> osmo_engine::Result<Route> {
    let file = CredentialFile::parse("config.yaml", FILE).unwrap();
    let uri = Uri::parse(uri).unwrap();
    let access =
        Access { endpoint_url: flag.map(str::to_owned), config_file: None, ..Access::default() };
    Route::of(&access, &environment(variables), file.profile(uri.profile()), &uri)
}

#[test]
fn an_entry_has_every_field_of_the_schema() {
    let file = CredentialFile::parse("config.yaml", FILE).unwrap();
    let entry = file.profile("s3://my-bucket").unwrap();
    assert_eq!(entry.access_key_id.as_deref(), Some("AK"));
    assert_eq!(entry.access_key.as_ref().map(Secret::reveal), Some("SK"));
    assert_eq!(entry.endpoint.as_deref(), Some("s3://my-bucket"));
    assert_eq!(entry.region.as_deref(), Some("eu-west-1"));
    assert_eq!(entry.override_url.as_deref(), Some("http://minio:9000"));
    assert_eq!(entry.addressing_style.as_deref(), Some("path"));
    assert!(file.profile("s3://unknown").is_none());
}

#[test]
fn a_file_without_entries_is_an_empty_one() {
    for text in ["", "\n", "auth:\n", "auth: {data: }\n", "login: {x: 1}\n", "---\n"] {
        let file = CredentialFile::parse("config.yaml", text)
            .unwrap_or_else(|fault| panic!("{text:?}: {fault}"));
        assert!(file.profile("s3://b").is_none());
    }
}

#[test]
fn a_malformed_file_names_its_line_and_none_of_its_text() {
    let cases = [
        ("auth:\n  data:\n    s3://b: {access_key: sesame-open\n", "line "),
        ("auth:\n  data:\n    s3://b:\n      access_key: [sesame-open]\n", "line 4"),
        ("auth:\n  data: sesame-open\n", "line 2"),
        ("auth:\n\tdata: sesame-open\n", "line 2"),
    ];
    for (text, place) in cases {
        let fault = CredentialFile::parse("/etc/config.yaml", text).expect_err(text);
        let shown = format!("{fault} {fault:?}");
        assert_eq!(fault.kind(), ErrorKind::Config);
        assert!(shown.contains("/etc/config.yaml"), "{shown}");
        assert!(shown.contains(place), "{text}: {shown}");
        assert!(!shown.contains("sesame"), "{shown}");
    }
}

#[test]
fn a_secret_is_not_in_debug_output() {
    let file = CredentialFile::parse("config.yaml", FILE).unwrap();
    assert!(!format!("{file:?}").contains("sesame-open"));
}

#[test]
fn half_a_key_pair_is_refused_by_the_name_of_the_other_half() {
    let file = CredentialFile::parse("config.yaml", FILE).unwrap();
    let fault = file.profile("s3://half").unwrap().keys("s3://half").unwrap_err();
    assert_eq!(fault.kind(), ErrorKind::Config);
    assert!(fault.to_string().contains("no access_key:"), "{fault}");
    assert_eq!(file.profile("s3://overridden").unwrap().keys("x").unwrap(), None);
}

#[test]
fn the_configuration_folder_follows_its_precedence() {
    let all =
        environment(&[("OSMO_CONFIG_FILE_DIR", "/a"), ("XDG_CONFIG_HOME", "/b"), ("HOME", "/c")]);
    assert_eq!(all.config_dir.as_deref(), Some(Path::new("/a")));
    let xdg =
        environment(&[("OSMO_CONFIG_FILE_DIR", ""), ("XDG_CONFIG_HOME", "/b"), ("HOME", "/c")]);
    assert_eq!(xdg.config_dir.as_deref(), Some(Path::new("/b/osmo")));
    let home = environment(&[("HOME", "/c")]);
    assert_eq!(home.config_dir.as_deref(), Some(Path::new("/c/.config/osmo")));
    assert_eq!(environment(&[]).config_dir, None);
}

#[test]
fn a_named_file_must_exist_and_the_folder_s_need_not() {
    let folder = tempfile::tempdir().unwrap();
    let unset =
        Environment { config_dir: Some(folder.path().to_owned()), ..Environment::default() };
    assert!(CredentialFile::load(&Access::default(), &unset).is_ok());
    let missing: PathBuf = folder.path().join("nowhere.yaml");
    let named = Access { endpoint_url: None, config_file: Some(missing), ..Access::default() };
    let fault = CredentialFile::load(&named, &unset).unwrap_err();
    assert_eq!(fault.kind(), ErrorKind::Config);
    assert!(fault.to_string().contains("nowhere.yaml"), "{fault}");
    std::fs::write(folder.path().join("config.yaml"), FILE).unwrap();
    let file = CredentialFile::load(&Access::default(), &unset).unwrap();
    assert!(file.profile("s3://plain").is_some());
}

#[test]
fn endpoints_follow_their_precedence() {
    const BOTH: &[(&str, &str)] =
        &[("AWS_ENDPOINT_URL_S3", "http://s3env"), ("AWS_ENDPOINT_URL", "http://env")];
    const ONE: &[(&str, &str)] = &[("AWS_ENDPOINT_URL", "http://env")];
    let cases = [
        (Some("http://flag"), BOTH, "s3://my-bucket", Some("http://flag")),
        (None, BOTH, "s3://my-bucket", Some("http://minio:9000")),
        (None, BOTH, "s3://plain", Some("http://s3env")),
        (None, ONE, "s3://plain", Some("http://env")),
        (None, &[], "s3://plain", None),
    ];
    for (flag, variables, uri, expected) in cases {
        let route = route(flag, variables, uri).unwrap();
        assert_eq!(route.endpoint.as_ref().map(|(_, url)| url.as_str()), expected);
    }
}

#[test]
fn addressing_follows_its_precedence() {
    const STYLE: &[(&str, &str)] =
        &[("OSMO_S3_ADDRESSING_STYLE", "virtual"), ("AWS_S3_FORCE_PATH_STYLE", "true")];
    const FORCE: &[(&str, &str)] = &[("AWS_S3_FORCE_PATH_STYLE", "true")];
    const ENDPOINT: &[(&str, &str)] = &[("AWS_ENDPOINT_URL", "http://env")];
    let cases = [
        (None, STYLE, "s3://my-bucket", Addressing::Path),
        (None, STYLE, "s3://overridden", Addressing::Virtual),
        (None, FORCE, "s3://overridden", Addressing::Path),
        (None, &[], "s3://overridden", Addressing::Virtual),
        (None, &[], "s3://auto", Addressing::Path),
        (None, ENDPOINT, "s3://plain", Addressing::Path),
        (Some("http://flag"), &[], "s3://overridden", Addressing::Path),
        (None, &[], "s3://plain", Addressing::Virtual),
    ];
    for (flag, variables, uri, expected) in cases {
        assert_eq!(
            route(flag, variables, uri).unwrap().addressing,
            expected,
            "{uri} {variables:?}"
        );
    }
}

#[test]
fn a_word_that_is_no_style_is_an_error_that_names_its_source() {
    let fault = route(None, &[("OSMO_S3_ADDRESSING_STYLE", "sideways")], "s3://plain").unwrap_err();
    assert!(fault.to_string().contains("OSMO_S3_ADDRESSING_STYLE"), "{fault}");
    let fault = route(None, &[("AWS_S3_FORCE_PATH_STYLE", "maybe")], "s3://plain").unwrap_err();
    assert!(fault.to_string().contains("AWS_S3_FORCE_PATH_STYLE"), "{fault}");
}

#[test]
fn regions_follow_their_precedence() {
    const BOTH: &[(&str, &str)] = &[("AWS_REGION", "r1"), ("AWS_DEFAULT_REGION", "r2")];
    let region = |variables, uri| route(None, variables, uri).unwrap().region;
    assert_eq!(region(BOTH, "s3://my-bucket").as_deref(), Some("eu-west-1"));
    assert_eq!(region(BOTH, "s3://plain").as_deref(), Some("r1"));
    assert_eq!(region(&[("AWS_DEFAULT_REGION", "r2")], "s3://plain").as_deref(), Some("r2"));
    assert_eq!(region(&[], "s3://plain"), None);
}

#[test]
fn each_kind_of_store_has_its_own_endpoint_region_and_addressing() {
    const AWS: &[(&str, &str)] =
        &[("AWS_REGION", "eu-west-1"), ("AWS_ENDPOINT_URL", "http://not-for-them")];
    let cases = [
        ("gs://b/p", "https://storage.googleapis.com", "us-east1", Addressing::Path),
        (
            "tos://tos-s3-cn-beijing.volces.com/b/p",
            "https://tos-s3-cn-beijing.volces.com",
            "cn-beijing",
            Addressing::Virtual,
        ),
        ("swift://swift.example/ns/c/p", "https://swift.example", "us-east-1", Addressing::Path),
    ];
    for (uri, url, region, addressing) in cases {
        let route = route(None, AWS, uri).unwrap();
        assert_eq!(route.endpoint.unwrap().1, url, "{uri}");
        assert_eq!(route.region.as_deref(), Some(region), "{uri}");
        assert_eq!(route.addressing, addressing, "{uri}");
    }
    assert_eq!(route(None, AWS, "azure://a/c").unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn a_region_that_is_asked_for_comes_before_every_other() {
    let file = CredentialFile::parse("config.yaml", FILE).unwrap();
    let uri = Uri::parse("s3://my-bucket").unwrap();
    let access = Access { region: Some("sa-east-1".to_owned()), ..Access::default() };
    let route = Route::of(&access, &environment(&[]), file.profile(uri.profile()), &uri).unwrap();
    assert_eq!(route.region.as_deref(), Some("sa-east-1"));
}

#[test]
fn which_of_aws_s_endpoints_the_environment_says() {
    const BOTH: &[(&str, &str)] =
        &[("AWS_USE_DUALSTACK_ENDPOINT", "true"), ("AWS_USE_FIPS_ENDPOINT", "True")];
    let both = route(None, BOTH, "s3://plain").unwrap();
    assert!(both.dual_stack && both.fips);
    let fault = route(None, &[("AWS_USE_FIPS_ENDPOINT", "perhaps")], "s3://plain").unwrap_err();
    assert!(fault.to_string().contains("AWS_USE_FIPS_ENDPOINT"), "{fault}");
}
