//! Stores that lie about what is to be deleted: nothing goes that was not
//! asked for, and nothing counts as gone that is there.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use osmo_engine::config::Access;
use osmo_engine::{
    Backoff, DeleteJob, Engine, EngineConfig, ErrorKind, Job, Report, Result, RetryPolicy, Waits,
};
use osmo_tests::fault_server::{Call, FaultServer, Step};

/// What is below `p/`, and what is not.
const KEYS: [&str; 4] = ["p/1", "p/2", "p/3", "precious"];

fn server() -> FaultServer {
    let server = FaultServer::start("bkt").unwrap();
    for key in KEYS {
        server.put(key, key);
    }
    server
}

fn delete(server: &FaultServer, remote: &str) -> Result<Report> {
    let folder = tempfile::tempdir().unwrap();
    let config_file = folder.path().join("config.yaml");
    let entry = server.config(None);
    std::fs::write(&config_file, entry).unwrap();
    let access = Access {
        endpoint_url: Some(server.url()),
        config_file: Some(config_file),
        ..Access::default()
    };
    let backoff = Backoff { base: Duration::from_millis(1), cap: Duration::from_millis(2) };
    let retry = RetryPolicy {
        attempts_max: 3,
        attempts_throttled_max: 3,
        backoff,
        backoff_throttled: backoff,
        ..RetryPolicy::default()
    };
    let waits = Waits { retry, ..Waits::default() };
    let engine = Engine::start(EngineConfig { access, waits, ..EngineConfig::default() }).unwrap();
    let job = DeleteJob { remote: remote.to_owned(), ..DeleteJob::default() };
    engine.submit(Job::Delete(job)).wait()
}

/// A batch's answer that keeps `key` for `code`.
fn keeps(key: &str, code: &str) -> Step {
    let kept = format!("<Error><Key>{key}</Key><Code>{code}</Code><Message>no</Message></Error>");
    Step::Status(200, format!("<DeleteResult>{kept}</DeleteResult>"))
}

#[test]
fn a_refusal_cannot_add_a_key_to_the_next_batch() {
    let server = server();
    // A passing reason: what it names is tried again.
    server.script(Call::DeleteMany, "", [keeps("precious", "InternalError")]);
    let report = delete(&server, "s3://bkt/p/").unwrap();
    assert_eq!(server.keys(), ["precious"]);
    assert_eq!((report.files_deleted, report.failures_total), (3, 0), "{:?}", report.failures);
    assert!(server.violations().is_empty(), "{:?}", server.violations());
}

#[test]
fn one_key_that_stays_does_not_end_the_job() {
    let server = server();
    server.always(Call::DeleteMany, "", keeps("p/2", "SlowDown"));
    let report = delete(&server, "s3://bkt/p/").unwrap();
    assert_eq!((report.files_deleted, report.failures_total), (2, 1), "{:?}", report.failures);
    assert_eq!(report.failures[0].name, "p/2");
    assert_eq!(report.failures[0].kind, ErrorKind::Throttled);
}

#[test]
fn a_listed_object_without_a_name_is_not_the_bucket() {
    let server = server();
    let listing = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key></Key>\
                   <Size>1</Size></Contents></ListBucketResult>";
    server.always(Call::List, "", Step::Status(200, listing.to_owned()));
    let error = delete(&server, "s3://bkt/").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert_eq!((server.requests(Call::DeleteMany), server.requests(Call::Delete)), (0, 0));
    assert_eq!(server.keys(), KEYS);
}
