//! Bad input and bad luck: a sentence, the documented exit code, and nothing
//! half-written.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use osmo_tests::program::Programs;
use osmo_tests::store::TestStore;
use osmo_tests::stores::Place;
use osmo_tests::{on_stores, skip::skip, tree, under_both_drivers};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

on_stores! {
    [embedded, seaweedfs, seaweedfs_https] => {
        wrong_credentials,
        missing_bucket,
    }
    [embedded, seaweedfs, seaweedfs_https, nginx, nginx_https] => {
        no_credentials,
        nothing_under_the_prefix,
        a_full_disk,
        an_unwritable_destination,
    }
}

under_both_drivers!(
    unreachable_endpoint,
    keys_that_would_leave,
    a_component_too_long_for_a_file_name,
    a_key_that_is_file_and_folder,
    names_that_differ_by_case_are_different_files,
    a_key_as_deep_as_a_key_can_be,
    a_partial_folder_that_is_a_link,
    a_link_among_the_folders,
);

/// A store with one honest object.
fn store(bucket: &str) -> TestStore {
    let store = TestStore::start(bucket).unwrap();
    store.put(bucket, "p/honest", b"honest").unwrap();
    store
}

fn command(store: &TestStore, driver: &str, url: &str, to: &Path) -> Command {
    let args: [&OsStr; 3] = ["download".as_ref(), url.as_ref(), to.as_os_str()];
    PROGRAMS.data(store.access(), driver, &args)
}

fn download(place: &Place, driver: &str, url: &str, to: &Path) -> Command {
    place.data(PROGRAMS, driver, &["download".as_ref(), url.as_ref(), to.as_os_str()])
}

/// Exit code 2 and a sentence with each of `words`; answers with the sentence.
fn assert_refused(output: &Output, words: &[&str]) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in words {
        assert!(said.to_lowercase().contains(&word.to_lowercase()), "no {word:?} in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn assert_empty(folder: &Path) {
    let left: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

fn wrong_credentials(place: &mut Place, driver: &str) {
    place.put([("p/honest", "honest")]).unwrap();
    let to = tempfile::tempdir().unwrap();
    let output = download(place, driver, &place.url("p/"), to.path())
        .env("AWS_SECRET_ACCESS_KEY", "WRONGwrongWRONGwrong")
        .output()
        .unwrap();
    let said = assert_refused(&output, &[place.bucket(), "secret"]);
    assert!(!said.contains("WRONGwrongWRONGwrong"), "a secret in: {said}");
    assert_empty(to.path());
}

fn no_credentials(place: &mut Place, driver: &str) {
    place.put([("p/honest", "honest")]).unwrap();
    let to = tempfile::tempdir().unwrap();
    let output = download(place, driver, &place.url("p/"), to.path())
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .output()
        .unwrap();
    assert_refused(&output, &["credentials", "AWS_ACCESS_KEY_ID"]);
    assert_empty(to.path());
}

fn missing_bucket(place: &mut Place, driver: &str) {
    let to = tempfile::tempdir().unwrap();
    let output = download(place, driver, "s3://absent/p/", to.path()).output().unwrap();
    assert_refused(&output, &["absent", "bucket"]);
    assert_empty(to.path());
}

fn unreachable_endpoint(driver: &str) {
    let store = store("gone");
    let to = tempfile::tempdir().unwrap();
    // A port that was free a moment ago: nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let args: [&OsStr; 3] = ["download".as_ref(), "s3://gone/p/".as_ref(), to.path().as_os_str()];
    let mut access = store.access().clone();
    access.endpoint = url.clone();
    let output = PROGRAMS.data(&access, driver, &args).output().unwrap();
    assert_refused(&output, &[&url]);
    assert_empty(to.path());
}

fn nothing_under_the_prefix(place: &mut Place, driver: &str) {
    place.put([("p/honest", "honest")]).unwrap();
    let url = place.url("nothing/");
    let to = tempfile::tempdir().unwrap();
    let output = download(place, driver, &url, to.path()).output().unwrap();
    assert_refused(&output, &[url.as_str()]);
    assert_empty(to.path());
}

fn keys_that_would_leave(driver: &str) {
    let store = store("escape");
    let outer = tempfile::tempdir().unwrap();
    let to = outer.path().join("a/b");
    fs::create_dir_all(&to).unwrap();
    for key in ["p/../evil", "p/x/../../../evil", "p//absolute", "p/./dot", "p/a/.."] {
        store.put("escape", key, b"evil").unwrap();
    }
    let output = command(&store, driver, "s3://escape/p/", &to).output().unwrap();
    assert_refused(&output, &["5", "p/../evil"]);
    // The honest one has moved, and nothing else exists anywhere.
    assert_eq!(
        tree::sha256sums(outer.path()).unwrap(),
        format!("{}  ./a/b/honest\n", sha256_of_honest()),
    );
}

/// `printf honest | sha256sum`, by coreutils.
fn sha256_of_honest() -> String {
    let output = Command::new("sh").args(["-c", "printf honest | sha256sum"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

fn a_component_too_long_for_a_file_name(driver: &str) {
    let store = store("longname");
    let to = tempfile::tempdir().unwrap();
    store.put("longname", &format!("p/{}", "x".repeat(256)), b"x").unwrap();
    let output = command(&store, driver, "s3://longname/p/", to.path()).output().unwrap();
    assert_refused(&output, &["255"]);
    assert_eq!(fs::read(to.path().join("honest")).unwrap(), b"honest");
    tree::assert_no_leftovers(to.path());
}

fn a_key_that_is_file_and_folder(driver: &str) {
    let store = store("both");
    let to = tempfile::tempdir().unwrap();
    store.put("both", "p/node", b"file").unwrap();
    store.put("both", "p/node/leaf", b"leaf").unwrap();
    let output = command(&store, driver, "s3://both/p/", to.path()).output().unwrap();
    assert_refused(&output, &["p/node"]);
    assert_eq!(fs::read(to.path().join("honest")).unwrap(), b"honest");
    tree::assert_no_leftovers(to.path());
}

fn names_that_differ_by_case_are_different_files(driver: &str) {
    let store = store("case");
    let to = tempfile::tempdir().unwrap();
    for name in ["Name", "name", "NAME", "Folder/x", "folder/x"] {
        store.put("case", &format!("p/{name}"), name.as_bytes()).unwrap();
    }
    let output = command(&store, driver, "s3://case/p/", to.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for name in ["Name", "name", "NAME", "Folder/x", "folder/x"] {
        assert_eq!(fs::read(to.path().join(name)).unwrap(), name.as_bytes());
    }
    tree::assert_no_leftovers(to.path());
}

/// S3 bounds a key by 1,024 bytes: 511 folders. Deeper ones are in `fuzz/corpus`.
fn a_key_as_deep_as_a_key_can_be(driver: &str) {
    let store = store("deep");
    let to = tempfile::tempdir().unwrap();
    let below = format!("{}x", "d/".repeat(510));
    store.put("deep", &format!("p/{below}"), b"deep").unwrap();
    let output = command(&store, driver, "s3://deep/p/", to.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read(to.path().join(below)).unwrap(), b"deep");
    tree::assert_no_leftovers(to.path());
}

fn a_partial_folder_that_is_a_link(driver: &str) {
    let store = store("planted");
    let (to, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(elsewhere.path(), to.path().join(".osmo-partial")).unwrap();
    let output = command(&store, driver, "s3://planted/p/", to.path()).output().unwrap();
    assert_refused(&output, &[".osmo-partial"]);
    assert_empty(elsewhere.path());
    assert!(!to.path().join("honest").exists());
}

fn a_link_among_the_folders(driver: &str) {
    let store = store("onpath");
    let (to, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(to.path().join("a")).unwrap();
    symlink(elsewhere.path(), to.path().join("a/b")).unwrap();
    symlink("..", to.path().join("up")).unwrap();
    for key in ["p/a/b/c/x", "p/up/x", "p/up/up/x"] {
        store.put("onpath", key, b"evil").unwrap();
    }
    let output = command(&store, driver, "s3://onpath/p/", to.path()).output().unwrap();
    assert_refused(&output, &["3", "symbolic"]);
    assert_empty(elsewhere.path());
    assert_eq!(fs::read(to.path().join("honest")).unwrap(), b"honest");
    tree::assert_no_leftovers(to.path());
}

/// Runs `script` with a small tmpfs on `$DST` in a namespace of its own, the
/// program under test in `$BIN`; `None` where that is refused.
fn with_mount(command: &Command, to: &Path, options: &str, script: &str) -> Option<Output> {
    let probe = Command::new("unshare").args(["-Urm", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        skip("user and mount namespaces are refused here");
        return None;
    }
    let mut wrapped = Command::new("unshare");
    wrapped
        .args(["-Urm", "bash", "-c"])
        .arg(format!("mount -t tmpfs -o {options} none \"$DST\" && {script}"));
    wrapped.arg("bash").args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.unwrap_or_default());
    }
    Some(wrapped.env("DST", to).env("BIN", PROGRAMS.0).output().unwrap())
}

fn a_full_disk(place: &mut Place, driver: &str) {
    let source = tempfile::tempdir().unwrap();
    for number in 0..4 {
        tree::random_file(&source.path().join(format!("{number}")), 4 << 20, number).unwrap();
    }
    place.put_tree("p/", source.path()).unwrap();
    let to = tempfile::tempdir().unwrap();
    let command = download(place, driver, &place.url("p/"), to.path());
    let script = "(exec -a osmo \"$BIN\" \"$@\"); code=$?; find \"$DST\" -size -4096k -type f ! -name honest ! -name 'j-*'; exit $code";
    let Some(output) = with_mount(&command, to.path(), "size=10m", script) else { return };
    assert_refused(&output, &["no space left", "free"]);
    let left = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(left, "", "a short file is left");
}

fn an_unwritable_destination(place: &mut Place, driver: &str) {
    place.put([("p/honest", "honest")]).unwrap();
    let to = tempfile::tempdir().unwrap();
    let command = download(place, driver, &place.url("p/"), to.path());
    let script = "exec -a osmo \"$BIN\" \"$@\"";
    let Some(output) = with_mount(&command, to.path(), "ro", script) else { return };
    assert_refused(&output, &[&to.path().display().to_string(), "read-only"]);
}

#[test]
fn usage_is_exit_code_1() {
    for args in [
        &["data", "download", "--no-such-flag", "s3://b/", "."][..],
        &["data", "download", "s3://b/"],
        &["data", "download", "ftp://b/", "."],
        &["data", "download", "s3://b/a//c", "."],
        &["data", "download", "s3://b/", ".", "--regex", "("],
        &["data", "download", "s3://b/", ".", "--memory", "lots"],
        &["data", "upload", "s3://b/"],
        &["data", "frobnicate"],
    ] {
        let output = PROGRAMS.command("osmo", args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(!said.is_empty() && !said.contains("panicked"), "{args:?}: {said}");
    }
}

#[test]
fn a_missing_destination_is_named() {
    let store = store("nowhere");
    let output =
        command(&store, "auto", "s3://nowhere/p/", Path::new("/no/such/folder")).output().unwrap();
    assert_refused(&output, &["/no/such/folder"]);
}
