//! `osmo data delete | check`, and what the transfers are told beside names:
//! globs, `--if-exists`, `--dry-run`, `--limit-rate`.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use osmo_tests::program::Programs;
use osmo_tests::store::TestStore;
use osmo_tests::{tree, under_both_drivers};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

under_both_drivers!(
    delete_takes_what_is_below_and_nothing_beside,
    delete_takes_more_than_a_page_and_odd_names,
    a_bucket_is_deleted_only_when_it_is_said_twice,
    a_check_answers_and_leaves_nothing,
    globs_choose_in_every_verb,
    a_file_that_exists_is_treated_as_told,
    an_object_that_exists_is_treated_as_told,
    a_dry_run_moves_nothing,
    a_limit_is_kept_in_both_directions,
);

fn osmo(store: &TestStore, driver: &str, args: &[&str]) -> Output {
    let args: Vec<&OsStr> = args.iter().map(|arg| -> &OsStr { arg.as_ref() }).collect();
    PROGRAMS.data(store.access(), driver, &args).output().unwrap()
}

/// Asserts the exit code; answers with stdout.
fn ends(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn keys(store: &TestStore, driver: &str, remote: &str) -> Vec<String> {
    let text = ends(&osmo(store, driver, &["list", remote, "-r", "--json"]), 0);
    let key = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["key"].as_str().unwrap().to_owned()
    };
    text.lines().map(key).collect()
}

fn filled(bucket: &str, keys: &[&str]) -> TestStore {
    let store = TestStore::start(bucket).unwrap();
    for key in keys {
        store.put(bucket, key, key.as_bytes()).unwrap();
    }
    store
}

fn delete_takes_what_is_below_and_nothing_beside(driver: &str) {
    let store = filled("del", &["a/b/1", "a/b/2.txt", "a/bc/1", "a/b2", "z"]);
    let some = osmo(&store, driver, &["delete", "s3://del/a/b", "--regex", "2", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&ends(&some, 0)).unwrap();
    assert_eq!(report["files_deleted"], 1);
    assert_eq!(report["failures_total"], 0);
    assert_eq!(keys(&store, driver, "s3://del"), ["a/b/1", "a/b2", "a/bc/1", "z"]);
    ends(&osmo(&store, driver, &["delete", "s3://del/a/b"]), 0);
    assert_eq!(keys(&store, driver, "s3://del"), ["a/b2", "a/bc/1", "z"]);
    // One object by its key; and nothing there is what was wanted.
    ends(&osmo(&store, driver, &["delete", "s3://del/z"]), 0);
    ends(&osmo(&store, driver, &["delete", "s3://del/z"]), 0);
    assert_eq!(keys(&store, driver, "s3://del"), ["a/b2", "a/bc/1"]);
    let said = osmo(&store, driver, &["delete", "s3://none/z"]);
    ends(&said, 2);
}

fn delete_takes_more_than_a_page_and_odd_names(driver: &str) {
    let store = TestStore::start("pages").unwrap();
    for number in 0..2_345 {
        store.put("pages", &format!("p/{number}"), b"").unwrap();
    }
    for odd in ["p/ü &<>\"'", "p/tab\there", "p/new\nline", "p/100%25+", "p/ space "] {
        store.put("pages", odd, b"").unwrap();
    }
    store.put("pages", "stays", b"").unwrap();
    let report = ends(&osmo(&store, driver, &["delete", "s3://pages/p/", "--json"]), 0);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["files_deleted"], 2_350);
    assert_eq!(keys(&store, driver, "s3://pages"), ["stays"]);
}

fn a_bucket_is_deleted_only_when_it_is_said_twice(driver: &str) {
    let store = filled("whole", &["a", "b/c"]);
    let refused = osmo(&store, driver, &["delete", "s3://whole"]);
    ends(&refused, 1);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--all"));
    assert_eq!(keys(&store, driver, "s3://whole").len(), 2);
    let dry = ends(&osmo(&store, driver, &["delete", "s3://whole/", "--dry-run", "--json"]), 0);
    let first: serde_json::Value = serde_json::from_str(dry.lines().next().unwrap()).unwrap();
    assert_eq!(first, serde_json::json!({"would": "delete", "key": "a", "bytes": 1}));
    let last: serde_json::Value = serde_json::from_str(dry.lines().last().unwrap()).unwrap();
    assert_eq!((&last["files_planned"], &last["files_deleted"]), (&2.into(), &0.into()));
    assert_eq!(keys(&store, driver, "s3://whole").len(), 2);
    ends(&osmo(&store, driver, &["delete", "s3://whole", "--all"]), 0);
    assert!(keys(&store, driver, "s3://whole").is_empty());
}

fn a_check_answers_and_leaves_nothing(driver: &str) {
    let store = filled("chk", &["p/x"]);
    for access in ["READ", "WRITE", "DELETE"] {
        let text =
            ends(&osmo(&store, driver, &["check", "s3://chk/p", "--access-type", access]), 0);
        assert_eq!(text, "{\"status\":\"pass\"}\n", "{access}");
        let text = ends(&osmo(&store, driver, &["check", "s3://no/p", "--access-type", access]), 0);
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "fail");
        assert!(answer["error"].as_str().unwrap().contains("no"), "{text}");
    }
    assert_eq!(keys(&store, driver, "s3://chk"), ["p/x"]);
    let args: [&OsStr; 2] = ["check".as_ref(), "s3://no/p".as_ref()];
    let mut skipped = PROGRAMS.data(store.access(), driver, &args);
    let text = ends(&skipped.env("OSMO_SKIP_DATA_AUTH", "1").output().unwrap(), 0);
    assert_eq!(text, "{\"status\":\"pass\"}\n");
}

fn names(folder: &Path) -> Vec<String> {
    let sums = tree::sha256sums(folder).unwrap();
    sums.lines().map(|line| line.split_once("./").unwrap().1.to_owned()).collect()
}

fn globs_choose_in_every_verb(driver: &str) {
    let all = ["a/1.bin", "a/1.txt", "a/tmp/2.bin", "b.bin"];
    let store = filled("globs", &all.map(|key| format!("p/{key}")).each_ref().map(|k| k.as_str()));
    let globs = ["--include", "*.bin", "--exclude", "*/tmp/*"];
    let to = tempfile::tempdir().unwrap();
    let path = to.path().to_str().unwrap();
    ends(&osmo(&store, driver, &[&["download", "s3://globs/p", path][..], &globs].concat()), 0);
    assert_eq!(names(to.path()), ["a/1.bin", "b.bin"]);
    let listed = osmo(&store, driver, &[&["list", "-r", "s3://globs/p"][..], &globs].concat());
    assert!(ends(&listed, 0).starts_with("p/a/1.bin\np/b.bin\n"));
    let source = format!("{path}/*");
    let up = ["upload", "s3://globs/q", &source, "--exclude", "b*"];
    ends(&osmo(&store, driver, &up), 0);
    assert_eq!(keys(&store, driver, "s3://globs/q"), ["q/a/1.bin"]);
    ends(&osmo(&store, driver, &[&["delete", "s3://globs/p"][..], &globs].concat()), 0);
    assert_eq!(keys(&store, driver, "s3://globs/p"), ["p/a/1.txt", "p/a/tmp/2.bin"]);
    ends(&osmo(&store, driver, &["list", "s3://globs", "--include", "["]), 1);
}

fn a_file_that_exists_is_treated_as_told(driver: &str) {
    let store = filled("there", &["p/new", "p/old"]);
    let to = tempfile::tempdir().unwrap();
    let path = to.path().to_str().unwrap();
    fs::write(to.path().join("old"), b"mine").unwrap();
    let down = |what| {
        osmo(&store, driver, &["download", "s3://there/p", path, "--if-exists", what, "--json"])
    };
    let report: serde_json::Value = serde_json::from_str(&ends(&down("skip"), 0)).unwrap();
    assert_eq!((&report["files"], &report["files_skipped"]), (&1.into(), &1.into()));
    assert_eq!(fs::read(to.path().join("old")).unwrap(), b"mine");
    fs::remove_file(to.path().join("new")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&ends(&down("error"), 2)).unwrap();
    assert_eq!((&report["files"], &report["failures_total"]), (&1.into(), &1.into()));
    assert_eq!(fs::read(to.path().join("old")).unwrap(), b"mine");
    ends(&down("overwrite"), 0);
    assert_eq!(fs::read(to.path().join("old")).unwrap(), b"p/old");
    assert_eq!(names(to.path()), ["new", "old"]);
}

fn an_object_that_exists_is_treated_as_told(driver: &str) {
    let store = filled("upl", &["p/old", "p/large"]);
    let from = tempfile::tempdir().unwrap();
    for name in ["old", "new"] {
        fs::write(from.path().join(name), name).unwrap();
    }
    // In parts.
    tree::random_file(&from.path().join("large"), 20 << 20, 3).unwrap();
    let source = format!("{}/*", from.path().display());
    let up = |what| {
        osmo(&store, driver, &["upload", "s3://upl/p", &source, "--if-exists", what, "--json"])
    };
    let report: serde_json::Value = serde_json::from_str(&ends(&up("skip"), 0)).unwrap();
    assert_eq!((&report["files"], &report["files_skipped"]), (&1.into(), &2.into()));
    let report: serde_json::Value = serde_json::from_str(&ends(&up("error"), 2)).unwrap();
    assert_eq!((&report["files"], &report["failures_total"]), (&0.into(), &3.into()));
    let to = tempfile::tempdir().unwrap();
    let back = |to: &Path| {
        ends(&osmo(&store, driver, &["download", "s3://upl/p", to.to_str().unwrap()]), 0);
    };
    back(to.path());
    assert_eq!(fs::read(to.path().join("old")).unwrap(), b"p/old");
    assert_eq!(fs::read(to.path().join("large")).unwrap(), b"p/large");
    ends(&up("overwrite"), 0);
    back(to.path());
    assert_eq!(tree::sha256sums(to.path()).unwrap(), tree::sha256sums(from.path()).unwrap());
}

fn a_dry_run_moves_nothing(driver: &str) {
    let store = filled("dry", &["p/a", "p/bb"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let down = ["download", "s3://dry/p", path, "--dry-run", "--json"];
    let text = ends(&osmo(&store, driver, &down), 0);
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[1], serde_json::json!({"would": "download", "key": "p/bb", "bytes": 4}));
    let report = &lines[2];
    assert_eq!((&report["files"], &report["files_planned"]), (&0.into(), &2.into()));
    assert_eq!((&report["bytes"], &report["bytes_planned"]), (&0.into(), &7.into()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(folder.path().join("a"), b"changed").unwrap();
    let source = format!("{path}/*");
    let up = ["upload", "s3://dry/p", &source, "--dry-run", "--json", "--if-exists", "skip"];
    let text = ends(&osmo(&store, driver, &up), 0);
    assert!(text.starts_with("{\"would\":\"skip\",\"key\":\"p/a\",\"bytes\":7}\n"), "{text}");
    ends(&osmo(&store, driver, &["upload", "s3://dry/q", &source, "--dry-run"]), 0);
    assert_eq!(keys(&store, driver, "s3://dry"), ["p/a", "p/bb"]);
}

/// A lower bound only: that the bytes took as long as the limit makes them.
fn a_limit_is_kept_in_both_directions(driver: &str) {
    let store = TestStore::start("slow").unwrap();
    let from = tempfile::tempdir().unwrap();
    for number in 0..4 {
        tree::random_file(&from.path().join(number.to_string()), 512 << 10, number).unwrap();
    }
    let to = tempfile::tempdir().unwrap();
    let (source, path) = (format!("{}/*", from.path().display()), to.path().to_str().unwrap());
    for args in [["upload", "s3://slow", &source], ["download", "s3://slow", path]] {
        let began = Instant::now();
        ends(&osmo(&store, driver, &[&args[..], &["--limit-rate", "2MiB"]].concat()), 0);
        // 2 MiB, of which the last bite and a short burst are free.
        assert!(began.elapsed() > Duration::from_millis(800), "{args:?}: {:?}", began.elapsed());
    }
    assert_eq!(tree::sha256sums(to.path()).unwrap(), tree::sha256sums(from.path()).unwrap());
}
