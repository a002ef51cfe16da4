//! What stores are told, and how deletions and conditions meet a store that
//! refuses them: each request as it arrived at a scripted store.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use osmo_controller::run::access::StoreAccess;
use osmo_tests::fault_server::{ACCESS_KEY, Call, FaultServer, SECRET_KEY, Step};
use osmo_tests::program::Programs;
use osmo_tests::{tree, under_both_drivers};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));
const WATCHDOG: Duration = Duration::from_secs(30);

under_both_drivers!(
    a_store_without_batches_is_asked_for_each_key,
    a_key_that_a_batch_leaves_is_asked_for_again_or_named,
    a_deletion_is_interrupted,
    gs_is_asked_for_each_key,
    what_an_upload_says_arrives,
    every_request_says_who_pays,
    the_region_of_the_flag_is_signed_for,
    unsigned_requests_are_unsigned,
    parts_do_not_replace_what_came_meanwhile,
    a_lost_acknowledgement_is_no_object_in_the_way,
    a_store_without_conditions_gets_none,
);

fn server(keys: &[&str]) -> FaultServer {
    let server = FaultServer::start("bkt").unwrap();
    for key in keys {
        server.put(key, *key);
    }
    server
}

fn command(server: &FaultServer, driver: &str, args: &[&str]) -> Command {
    let store = StoreAccess {
        endpoint: server.url(),
        access_key: ACCESS_KEY.to_owned(),
        secret_key: SECRET_KEY.to_owned(),
    };
    let args: Vec<&OsStr> = args.iter().map(|arg| -> &OsStr { arg.as_ref() }).collect();
    PROGRAMS.data(&store, driver, &args)
}

/// Asserts the exit code; the report.
fn ends(output: &Output, code: i32) -> serde_json::Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn error(code: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>as the script says</Message></Error>")
}

fn not_implemented() -> Step {
    Step::Status(501, error("NotImplemented"))
}

fn a_store_without_batches_is_asked_for_each_key(driver: &str) {
    let server = server(&["p/", "p/1", "p/2", "p/sub/", "q"]);
    server.always(Call::DeleteMany, "", not_implemented());
    let delete = ["delete", "s3://bkt/p", "--json"];
    let report = ends(&command(&server, driver, &delete).output().unwrap(), 0);
    assert_eq!((&report["files_deleted"], &report["failures_total"]), (&4.into(), &0.into()));
    assert_eq!(server.keys(), ["q"]);
    assert_eq!((server.requests(Call::DeleteMany), server.requests(Call::Delete)), (1, 4));
    assert_eq!(server.violations(), Vec::<String>::new());
}

/// The scripted answers touch nothing, so what is gone afterwards is what the
/// second batch named.
fn a_key_that_a_batch_leaves_is_asked_for_again_or_named(driver: &str) {
    let left = |code: &str| {
        let why = format!("<Key>p/1</Key><Code>{code}</Code><Message>scripted</Message>");
        Step::Status(200, format!("<DeleteResult><Error>{why}</Error></DeleteResult>"))
    };
    let delete = ["delete", "s3://bkt/p", "--json"];
    let passing = server(&["p/1", "p/2"]);
    passing.script(Call::DeleteMany, "", [left("InternalError")]);
    let report = ends(&command(&passing, driver, &delete).output().unwrap(), 0);
    assert_eq!((&report["files_deleted"], &report["retries"]), (&2.into(), &1.into()));
    assert_eq!(passing.requests(Call::DeleteMany), 2);
    assert_eq!(passing.keys(), ["p/2"]);

    let lasting = server(&["p/1", "p/2"]);
    lasting.always(Call::DeleteMany, "", left("AccessDenied"));
    let report = ends(&command(&lasting, driver, &delete).output().unwrap(), 2);
    assert_eq!((&report["files_deleted"], &report["failures_total"]), (&1.into(), &1.into()));
    assert_eq!(report["failures"][0]["name"], "p/1");
    assert_eq!(lasting.requests(Call::DeleteMany), 1);
}

fn a_deletion_is_interrupted(driver: &str) {
    let server = server(&["p/1"]);
    server.always(Call::DeleteMany, "", Step::Stall);
    let mut delete = command(&server, driver, &["delete", "s3://bkt/p"]);
    let mut child = delete.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while server.requests(Call::DeleteMany) == 0 {
        assert!(began.elapsed() < WATCHDOG, "no deletion was asked for");
        std::thread::yield_now();
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(server.requests(Call::DeleteMany) == 1);
}

fn gs_is_asked_for_each_key(driver: &str) {
    let server = server(&["p/1", "p/2"]);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let text = format!(
        "auth:\n  data:\n    gs://bkt:\n      access_key_id: {ACCESS_KEY}\n      \
         access_key: {SECRET_KEY}\n      region: us-east-1\n      endpoint: gs://bkt\n"
    );
    fs::write(&config, text).unwrap();
    let delete = ["delete", "gs://bkt/p", "--json", "--config-file", config.to_str().unwrap()];
    let report = ends(&command(&server, driver, &delete).output().unwrap(), 0);
    assert_eq!(report["files_deleted"], 2);
    assert_eq!((server.requests(Call::DeleteMany), server.requests(Call::Delete)), (0, 2));
    assert!(server.keys().is_empty());
}

fn all(server: &FaultServer, call: Call, field: &str, value: &str) {
    let told = server.told(call, field);
    assert!(!told.is_empty(), "no {call:?}");
    for told in told {
        assert_eq!(told.as_deref(), Some(value), "{call:?} {field}");
    }
}

fn what_an_upload_says_arrives(driver: &str) {
    let server = server(&[]);
    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("small"), "small").unwrap();
    tree::random_file(&from.path().join("large"), (16 << 20) + 1, 1).unwrap();
    let from = format!("{}/*", from.path().display());
    let upload = ["upload", "s3://bkt/p", &from];
    let kms = ["--sse", "kms", "--sse-kms-key-id", "key-7", "--storage-class", "GLACIER_IR"];
    let kind = ["--content-type", "text/x-told", "--request-payer"];
    ends(&command(&server, driver, &[&upload[..], &kms, &kind].concat()).output().unwrap(), 0);
    for call in [Call::Put, Call::Create] {
        all(&server, call, "x-amz-server-side-encryption", "aws:kms");
        all(&server, call, "x-amz-server-side-encryption-aws-kms-key-id", "key-7");
        all(&server, call, "x-amz-storage-class", "GLACIER_IR");
        all(&server, call, "content-type", "text/x-told");
    }
    for call in [Call::Put, Call::Create, Call::UploadPart, Call::Complete] {
        all(&server, call, "x-amz-request-payer", "requester");
    }
    assert_eq!(server.violations(), Vec::<String>::new());

    let server = self::server(&[]);
    ends(&command(&server, driver, &[&upload[..], &["--sse"]].concat()).output().unwrap(), 0);
    for call in [Call::Put, Call::Create] {
        all(&server, call, "x-amz-server-side-encryption", "AES256");
        for field in ["x-amz-storage-class", "x-amz-request-payer"] {
            assert!(server.told(call, field).iter().all(Option::is_none), "{field}");
        }
    }
    let mixed = ["--sse", "s3", "--sse-kms-key-id", "key-7"];
    ends(&command(&server, driver, &[&upload[..], &mixed].concat()).output().unwrap(), 1);
}

fn every_request_says_who_pays(driver: &str) {
    let server = server(&["p/1", "p/2"]);
    let to = tempfile::tempdir().unwrap();
    let path = to.path().to_str().unwrap();
    for verb in [
        &["list", "s3://bkt/p", "-r"][..],
        &["download", "s3://bkt/p", path],
        &["check", "s3://bkt/p", "--access-type", "READ"],
        &["delete", "s3://bkt/p"],
    ] {
        let verb = [verb, &["--request-payer"]].concat();
        ends(&command(&server, driver, &verb).output().unwrap(), 0);
    }
    let calls: Vec<Call> = server.seen().into_iter().map(|(call, _)| call).collect();
    for expected in [Call::List, Call::Head, Call::DeleteMany] {
        assert!(calls.contains(&expected), "{expected:?}");
    }
    for call in calls {
        all(&server, call, "x-amz-request-payer", "requester");
    }
    assert!(server.keys().is_empty());
}

fn the_region_of_the_flag_is_signed_for(driver: &str) {
    let server = server(&["p/1"]);
    let list = ["list", "s3://bkt/p", "-r", "--region"];
    let region = |flag| {
        let mut command = command(&server, driver, &[&list[..], &[flag]].concat());
        command.env("AWS_REGION", "ap-south-2").output().unwrap()
    };
    ends(&region("us-east-1"), 0);
    assert_eq!(server.violations(), Vec::<String>::new());
    ends(&region("eu-central-2"), 2);
    assert!(server.violations()[0].contains("/eu-central-2/s3/"), "{:?}", server.violations());
}

fn unsigned_requests_are_unsigned(driver: &str) {
    for (more, signed) in [(&["--no-sign-request"][..], false), (&[], true)] {
        let server = server(&["p/1"]);
        let list = [&["list", "s3://bkt/", "-r"][..], more].concat();
        // The store insists on signatures.
        ends(&command(&server, driver, &list).output().unwrap(), if signed { 0 } else { 2 });
        let told = server.told(Call::List, "authorization");
        assert!(!told.is_empty() && told.iter().all(|told| told.is_some() == signed), "{told:?}");
    }
}

/// The first answer is lost, and the next attempt meets the object of the first,
/// or somebody else's.
fn a_lost_acknowledgement_is_no_object_in_the_way(driver: &str) {
    let from = tempfile::tempdir().unwrap();
    for (what, bytes) in [("small", 100_003), ("streamed", (1 << 20) + 4_321), ("empty", 0)] {
        tree::random_file(&from.path().join("p"), bytes, 1).unwrap();
        for (policy, others) in [("error", false), ("skip", false), ("error", true)] {
            let server = server(if others { &["p/p"] } else { &[] });
            server.script(Call::Head, "p/p", [Step::Status(404, String::new())]);
            server.script(Call::Put, "p/p", [Step::Reset(0)]);
            let source = format!("{}/*", from.path().display());
            let upload = ["upload", "s3://bkt/p", &source, "--if-exists", policy, "--json"];
            let output = command(&server, driver, &upload).output().unwrap();
            let report = ends(&output, if others { 2 } else { 0 });
            assert_eq!(report["files"], i32::from(!others), "{what} {policy}");
            assert_eq!(report["files_skipped"], 0, "{what} {policy}");
            assert_eq!(server.told(Call::GetWhole, "host").len(), 1, "{what}: it was looked at");
            let there = server.object("p/p").unwrap();
            let ours = fs::read(from.path().join("p")).unwrap();
            assert_eq!(there.as_slice() == ours, !others, "{what} {policy}");
            assert_eq!(server.violations(), Vec::<String>::new());
        }
    }
}

/// Nobody has the object when it is asked for, and somebody has at the end.
fn parts_do_not_replace_what_came_meanwhile(driver: &str) {
    let from = tempfile::tempdir().unwrap();
    tree::random_file(&from.path().join("large"), (16 << 20) + 1, 1).unwrap();
    let from = format!("{}/*", from.path().display());
    for (what, code) in [("skip", 0), ("error", 2)] {
        let server = server(&["p/large"]);
        server.script(Call::Head, "p/large", [Step::Status(404, String::new())]);
        let upload = ["upload", "s3://bkt/p", &from, "--if-exists", what, "--json"];
        let report = ends(&command(&server, driver, &upload).output().unwrap(), code);
        assert_eq!(report["files"], 0);
        assert_eq!(report["files_skipped"], i32::from(what == "skip"));
        assert_eq!(report["failures_total"], i32::from(what == "error"));
        assert_eq!(server.object("p/large").unwrap().as_slice(), b"p/large");
        assert_eq!(server.unfinished_uploads(), 0);
        all(&server, Call::Complete, "if-none-match", "*");
        assert_eq!(server.violations(), Vec::<String>::new());
    }
}

fn a_store_without_conditions_gets_none(driver: &str) {
    let server = server(&[]);
    server.script(Call::Complete, "", [not_implemented()]);
    server.script(Call::Put, "", [not_implemented()]);
    let from = tempfile::tempdir().unwrap();
    tree::random_file(&from.path().join("large"), (16 << 20) + 1, 1).unwrap();
    fs::write(from.path().join("small"), "small").unwrap();
    let from = format!("{}/*", from.path().display());
    let upload = ["upload", "s3://bkt/p", &from, "--if-exists", "skip", "--json"];
    let report = ends(&command(&server, driver, &upload).output().unwrap(), 0);
    assert_eq!((&report["files"], &report["files_skipped"]), (&2.into(), &0.into()));
    for call in [Call::Put, Call::Complete] {
        assert_eq!(server.told(call, "if-none-match"), [Some("*".to_owned()), None], "{call:?}");
    }
    assert_eq!(server.keys(), ["p/large", "p/small"]);
}
