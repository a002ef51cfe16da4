//! `osmo data` over a network and a store that fail: what arrives is whole and
//! right, what cannot arrive is named, and nothing is left half-written.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use osmo_tests::interpose::{Fault, Harm, Hold, Interposer, Request};
use osmo_tests::program::Programs;
use osmo_tests::store::TestStore;
use osmo_tests::{tree, under_both_drivers};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

under_both_drivers!(
    a_reset_in_mid_body_resumes_where_it_stopped,
    a_truncated_answer_is_completed,
    a_flipped_bit_is_fetched_again,
    bytes_that_stay_wrong_are_never_published,
    slow_down_twice_is_waited_out,
    a_store_that_stays_broken_fails_its_object_alone,
    a_refusal_is_asked_once,
    an_object_that_changes_in_between_is_no_file,
    an_answer_of_another_version_is_no_file,
    a_reset_upload_is_sent_again,
    an_upload_with_a_flipped_bit_is_sent_again,
    an_early_refusal_does_not_spoil_the_next_attempt,
    a_failed_completion_is_aborted,
    an_interrupted_download_leaves_whole_files_only,
    an_interrupted_multipart_upload_is_aborted,
    a_file_that_changes_while_it_is_sent,
    a_large_file_that_changes_while_it_is_sent,
);

const LARGE_BYTES: u64 = (24 << 20) + 4321;

/// A store with `p/large`, which is fetched in four parts, and two files that
/// are fetched in one; and the same tree beside it.
fn store() -> (TestStore, tempfile::TempDir) {
    let source = tempfile::tempdir().unwrap();
    tree::random_file(&source.path().join("large"), LARGE_BYTES, 1).unwrap();
    tree::random_file(&source.path().join("small"), 700_001, 2).unwrap();
    fs::write(source.path().join("tiny"), "tiny").unwrap();
    let store = TestStore::start("bkt").unwrap();
    store.put_tree("bkt", "p/", source.path()).unwrap();
    (store, source)
}

/// Starts `osmo data` through `proxy`.
fn start(proxy: &Interposer, driver: &str, args: &[&OsStr]) -> Child {
    PROGRAMS
        .data(proxy.access(), driver, args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn download(proxy: &Interposer, driver: &str, to: &Path) -> Output {
    let args: [&OsStr; 4] =
        ["download".as_ref(), "s3://bkt/p/".as_ref(), to.as_os_str(), "--json".as_ref()];
    start(proxy, driver, &args).wait_with_output().unwrap()
}

fn upload(proxy: &Interposer, driver: &str, from: &Path) -> Child {
    start(proxy, driver, &["upload".as_ref(), "s3://bkt/up/".as_ref(), from.as_os_str()])
}

/// Exit code `code`, and a sentence with each of `words`.
fn assert_ended(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
}

fn assert_same(to: &Path, source: &Path) {
    assert_same_files(to, source);
    assert!(!to.join(".osmo-partial").exists(), "the partial folder is left behind");
}

fn assert_same_files(to: &Path, source: &Path) {
    assert_eq!(tree::sha256sums(to).unwrap(), tree::sha256sums(source).unwrap());
    tree::assert_no_leftovers(to);
}

/// All but `missing` arrived, as they are in the source.
fn assert_all_but(missing: &str, to: &Path, source: &Path) {
    assert!(!to.join(missing).exists(), "{missing} was published");
    fs::remove_file(source.join(missing)).unwrap();
    assert_same_files(to, source);
}

/// The first request for each range of the large object.
fn first_of_large(request: &Request) -> bool {
    request.is("GET", "/p/large") && request.before == 0
}

fn a_reset_in_mid_body_resumes_where_it_stopped(driver: &str) {
    let (store, source) = store();
    let proxy = Interposer::start(store.access(), |request| {
        let planned = matches!(request.range.as_deref(), Some("bytes=8388608-16777215"));
        if planned && request.before == 0 {
            return Fault::Down(3_000_000, Harm::Reset);
        }
        Fault::None
    })
    .unwrap();
    let to = tempfile::tempdir().unwrap();

    let output = download(&proxy, driver, to.path());

    assert_ended(&output, 0, &[]);
    assert_same(to.path(), source.path());
    // The rest of the part, and not all of it, was asked for again.
    let resumed: Vec<u64> = proxy
        .seen()
        .iter()
        .filter_map(|request| request.range.as_deref()?.strip_prefix("bytes="))
        .filter_map(|range| range.strip_suffix("-16777215")?.parse().ok())
        .collect();
    assert_eq!(resumed.len(), 2, "{resumed:?}");
    assert!(resumed.contains(&8_388_608), "{resumed:?}");
    assert!(resumed.iter().any(|from| (8_388_609..11_388_609).contains(from)), "{resumed:?}");
}

fn a_truncated_answer_is_completed(driver: &str) {
    let (store, source) = store();
    let proxy = Interposer::start(store.access(), |request| {
        let first = request.is("GET", "/p/small") && request.range.is_none();
        if first || first_of_large(request) && request.range.as_deref() == Some("bytes=0-8388607") {
            return if request.before == 0 { Fault::Down(123_457, Harm::Cut) } else { Fault::None };
        }
        Fault::None
    })
    .unwrap();
    let to = tempfile::tempdir().unwrap();

    let output = download(&proxy, driver, to.path());

    assert_ended(&output, 0, &[]);
    assert_same(to.path(), source.path());
}

fn a_flipped_bit_is_fetched_again(driver: &str) {
    let (store, source) = store();
    let proxy = Interposer::start(store.access(), |request| {
        let second = request.range.as_deref() == Some("bytes=8388608-16777215");
        if second && request.before == 0 {
            return Fault::Down(777_777, Harm::Flip);
        }
        Fault::None
    })
    .unwrap();
    let to = tempfile::tempdir().unwrap();

    let output = download(&proxy, driver, to.path());

    assert_ended(&output, 0, &[]);
    assert_same(to.path(), source.path());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["retries"], 1, "{report}");
    assert_eq!(report["verification"]["verified"]["crc64nvme"], 3, "{report}");
}

fn bytes_that_stay_wrong_are_never_published(driver: &str) {
    let (store, source) = store();
    let proxy = Interposer::start(store.access(), |request| {
        if request.is("GET", "/p/small") { Fault::Down(0, Harm::Flip) } else { Fault::None }
    })
    .unwrap();
    let to = tempfile::tempdir().unwrap();

    let output = download(&proxy, driver, to.path());

    assert_ended(&output, 2, &["p/small", "crc64nvme", "the store declares"]);
    assert_all_but("small", to.path(), source.path());
}

fn slow_down_twice_is_waited_out(driver: &str) {
    let (store, source) = store();
    let proxy = Interposer::start(store.access(), |request| {
        // Listings, HEADs and GETs alike.
        if request.before < 2 { Fault::Answer(503, "SlowDown") } else { Fault::None }
    })
    .unwrap();
    let to = tempfile::tempdir().unwrap();

    let output = download(&proxy, driver, to.path());

    assert_ended(&output, 0, &[]);
    assert_same(to.path(), source.path());
}

fn a_store_that_stays_broken_fails_its_object_alone(driver: &str) {
    let (store, source) = store();
    let proxy = Interposer::start(store.access(), |request| {
        if request.is("GET", "/p/small") {
            Fault::Answer(500, "InternalError")
        } else {
            Fault::None
        }
    })
    .unwrap();
    let to = tempfile::tempdir().unwrap();

    let output = download(&proxy, driver, to.path());

    let words = ["s3://bkt/p/small", "gave up after 6 attempts", "500 InternalError", "try again"];
    assert_ended(&output, 2, &words);
    assert_all_but("small", to.path(), source.path());
}

fn a_refusal_is_asked_once(driver: &str) {
    let (store, source) = store();
    let proxy = Interposer::start(store.access(), |request| {
        if request.is("GET", "/p/small") { Fault::Answer(403, "AccessDenied") } else { Fault::None }
    })
    .unwrap();
    let to = tempfile::tempdir().unwrap();

    let output = download(&proxy, driver, to.path());

    assert_ended(&output, 2, &["s3://bkt/p/small", "s3:GetObject"]);
    let asked = proxy.seen().iter().filter(|request| request.is("GET", "/p/small")).count();
    assert_eq!(asked, 1);
    assert_all_but("small", to.path(), source.path());
}

fn an_object_that_changes_in_between_is_no_file(driver: &str) {
    let (store, source) = store();
    let proxy = Interposer::start(store.access(), |request| {
        let second = request.range.as_deref() == Some("bytes=8388608-16777215");
        if second { Fault::Answer(412, "PreconditionFailed") } else { Fault::None }
    })
    .unwrap();
    let to = tempfile::tempdir().unwrap();

    let output = download(&proxy, driver, to.path());

    assert_ended(&output, 2, &["s3://bkt/p/large", "changed while it was read"]);
    assert_all_but("large", to.path(), source.path());
}

fn an_answer_of_another_version_is_no_file(driver: &str) {
    let (store, source) = store();
    let proxy = Interposer::start(store.access(), |request| {
        let second = request.range.as_deref() == Some("bytes=8388608-16777215");
        if second { Fault::Etag("\"0123456789abcdef0123456789abcdef\"") } else { Fault::None }
    })
    .unwrap();
    let to = tempfile::tempdir().unwrap();

    let output = download(&proxy, driver, to.path());

    assert_ended(&output, 2, &["s3://bkt/p/large", "changed while it was read"]);
    assert_all_but("large", to.path(), source.path());
}

/// What the store holds below `up/`, fetched without the proxy, is what
/// `source` holds.
fn assert_stored(store: &TestStore, source: &Path) {
    let to = tempfile::tempdir().unwrap();
    let args: [&OsStr; 3] = ["download".as_ref(), "s3://bkt/up/".as_ref(), to.path().as_os_str()];
    let output = PROGRAMS.data(store.access(), "epoll", &args).output().unwrap();
    assert_ended(&output, 0, &[]);
    assert_same(to.path(), source);
    assert_eq!(store.files().bucket("bkt").unwrap().unfinished_keys(), Vec::<String>::new());
}

fn assert_not_stored(store: &TestStore, key: &str) {
    let bucket = store.files().bucket("bkt").unwrap();
    assert!(bucket.get(key).is_err(), "{key} is visible in the store");
    assert_eq!(bucket.unfinished_keys(), Vec::<String>::new());
}

/// Files that go up held in buffers, read twice, and in parts.
fn outputs() -> tempfile::TempDir {
    let source = tempfile::tempdir().unwrap();
    tree::random_file(&source.path().join("held"), 300_001, 3).unwrap();
    // More than socket buffers take while nobody reads.
    tree::random_file(&source.path().join("read-twice"), 16_000_001, 4).unwrap();
    tree::random_file(&source.path().join("parts"), 40_000_001, 5).unwrap();
    source
}

/// The first PUT suffers `harm` after `bytes` of its body; all arrives anyway.
fn assert_sent_again(driver: &str, bytes: u64, harm: Harm) {
    let (store, source) = (TestStore::start("bkt").unwrap(), outputs());
    let proxy = Interposer::start(store.access(), move |request| {
        let first = request.method == "PUT" && request.before == 0;
        if first { Fault::Up(bytes, harm.clone()) } else { Fault::None }
    })
    .unwrap();

    let output = upload(&proxy, driver, &source.path().join("*")).wait_with_output().unwrap();

    assert_ended(&output, 0, &[]);
    assert_stored(&store, source.path());
}

fn a_reset_upload_is_sent_again(driver: &str) {
    assert_sent_again(driver, 200_000, Harm::Reset);
}

fn an_upload_with_a_flipped_bit_is_sent_again(driver: &str) {
    assert_sent_again(driver, 100_000, Harm::Flip);
}

fn an_early_refusal_does_not_spoil_the_next_attempt(driver: &str) {
    let source = tempfile::tempdir().unwrap();
    for number in 0..16 {
        // As large as buffers hold at once, so that the answer comes first.
        let path = source.path().join(format!("{number}"));
        tree::random_file(&path, 512 << 10, number).unwrap();
    }
    let store = TestStore::start("bkt").unwrap();
    let proxy = Interposer::start(store.access(), |request| {
        let early = request.method == "PUT" && request.before < 2;
        if early { Fault::Answer(500, "InternalError") } else { Fault::None }
    })
    .unwrap();

    let output = upload(&proxy, driver, &source.path().join("*")).wait_with_output().unwrap();

    assert_ended(&output, 0, &[]);
    assert_stored(&store, source.path());
    // None was sent a third time because the second had been spoilt.
    assert_eq!(proxy.seen().iter().filter(|request| request.method == "PUT").count(), 16 * 3);
}

fn a_failed_completion_is_aborted(driver: &str) {
    let (store, source) = (TestStore::start("bkt").unwrap(), outputs());
    let proxy = Interposer::start(store.access(), |request| {
        if request.is("POST", "uploadId=") {
            Fault::Answer(500, "InternalError")
        } else {
            Fault::None
        }
    })
    .unwrap();

    let output = upload(&proxy, driver, &source.path().join("*")).wait_with_output().unwrap();

    assert_ended(&output, 2, &["s3://bkt/up/parts", "gave up after 6 attempts"]);
    assert_not_stored(&store, "up/parts");
    fs::remove_file(source.path().join("parts")).unwrap();
    assert_stored(&store, source.path());
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn an_interrupted_download_leaves_whole_files_only(driver: &str) {
    let (store, source) = store();
    let hold = Hold::default();
    let proxy = Interposer::start(store.access(), {
        let hold = hold.clone();
        move |request| {
            if first_of_large(request) {
                Fault::Down(1_000_000, Harm::Hold(hold.clone()))
            } else {
                Fault::None
            }
        }
    })
    .unwrap();
    let to = tempfile::tempdir().unwrap();
    let args: [&OsStr; 3] = ["download".as_ref(), "s3://bkt/p/".as_ref(), to.path().as_os_str()];

    let child = start(&proxy, driver, &args);
    hold.reached();
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    hold.release();

    assert_ended(&output, 3, &["cancelled"]);
    assert!(!to.path().join("large").exists());
    tree::assert_no_leftovers(to.path());
    let expected = tree::sha256sums(source.path()).unwrap();
    for line in tree::sha256sums(to.path()).unwrap().lines() {
        assert!(expected.lines().any(|whole| whole == line), "{line}");
    }
}

fn an_interrupted_multipart_upload_is_aborted(driver: &str) {
    let (store, source) = (TestStore::start("bkt").unwrap(), outputs());
    let hold = Hold::default();
    let proxy = Interposer::start(store.access(), {
        let hold = hold.clone();
        move |request| {
            if request.is("PUT", "partNumber=2") {
                Fault::Up(1_000_000, Harm::Hold(hold.clone()))
            } else {
                Fault::None
            }
        }
    })
    .unwrap();

    let child = upload(&proxy, driver, &source.path().join("parts"));
    hold.reached();
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    hold.release();

    assert_ended(&output, 3, &["cancelled"]);
    assert_not_stored(&store, "up/parts");
}

/// Uploads `name` of the outputs, and appends to it when the request whose
/// target contains `target` has sent `bytes` bytes.
fn change_while_sent(driver: &str, name: &str, target: &'static str, bytes: u64) {
    let (store, source) = (TestStore::start("bkt").unwrap(), outputs());
    let file = source.path().join(name);
    let hold = Hold::default();
    let proxy = Interposer::start(store.access(), {
        let hold = hold.clone();
        move |request| {
            if request.is("PUT", target) {
                Fault::Up(bytes, Harm::Hold(hold.clone()))
            } else {
                Fault::None
            }
        }
    })
    .unwrap();

    let child = upload(&proxy, driver, &file);
    hold.reached();
    OpenOptions::new().append(true).open(&file).unwrap().write_all(b"more").unwrap();
    hold.release();
    let output = child.wait_with_output().unwrap();

    assert_ended(&output, 2, &[name, "changed while it was uploaded"]);
    assert_not_stored(&store, &format!("up/{name}"));
}

fn a_file_that_changes_while_it_is_sent(driver: &str) {
    change_while_sent(driver, "read-twice", "up/read-twice", 100_000);
}

fn a_large_file_that_changes_while_it_is_sent(driver: &str) {
    change_while_sent(driver, "parts", "partNumber=1", 1_000_000);
}
