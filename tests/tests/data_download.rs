//! `osmo data download` from the embedded store: trees equal by `sha256sum`.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use osmo_tests::program::Programs;
use osmo_tests::store::TestStore;
use osmo_tests::{tree, under_both_drivers};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

under_both_drivers!(
    odd_names_arrive_as_they_are,
    five_thousand_keys,
    an_object_in_many_ranges,
    a_prefix_is_a_folder,
    one_object_by_its_key,
    a_regex_is_anchored_at_the_start,
    memory_of_two_mebibytes_is_enough,
);

/// Downloads and asserts success; answers with what it said.
fn download(store: &TestStore, driver: &str, url: &str, to: &Path, more: &[&str]) -> String {
    let mut args: Vec<&OsStr> = vec!["download".as_ref(), url.as_ref(), to.as_os_str()];
    args.extend(more.iter().map(|arg| -> &OsStr { arg.as_ref() }));
    let output = PROGRAMS.data(store.access(), driver, &args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!to.join(".osmo-partial").exists(), "the partial folder is left behind");
    said
}

fn odd_names_arrive_as_they_are(driver: &str) {
    let source = tempfile::tempdir().unwrap();
    let long = "k".repeat(240);
    let names = [
        "empty".to_owned(),
        "with space/and more/x y".to_owned(),
        "per%cent %2F %zz".to_owned(),
        "plus+plus&amp;='\"<>".to_owned(),
        "ünïcödé/日本語/🦀".to_owned(),
        "tab\tand\nnewline".to_owned(),
        "~tilde/-dash/#hash/?query=1/;semi,comma@at:colon!*()".to_owned(),
        "back\\slash".to_owned(),
        ".hidden/..not-a-parent/...".to_owned(),
        // 1,000 bytes in components of at most 255.
        format!("{long}/{long}/{long}/{long}/{}", "e".repeat(36)),
    ];
    for (seed, name) in names.iter().enumerate() {
        let bytes = if seed == 0 { 0 } else { 1000 + seed as u64 * 4099 };
        tree::random_file(&source.path().join(name), bytes, seed as u64).unwrap();
    }
    assert_eq!(names.last().unwrap().len(), 1000);
    let store = TestStore::start("names").unwrap();
    store.put_tree("names", "data/", source.path()).unwrap();
    let target = tempfile::tempdir().unwrap();

    download(&store, driver, "s3://names/data/", target.path(), &[]);

    assert_eq!(tree::sha256sums(target.path()).unwrap(), tree::sha256sums(source.path()).unwrap());
}

fn five_thousand_keys(driver: &str) {
    let store = TestStore::start("many").unwrap();
    let expected = tempfile::tempdir().unwrap();
    for number in 0..5000 {
        let name = format!("{:02}/{number:05}", number % 37);
        let text = format!("object {number}\n");
        store.put("many", &name, text.as_bytes()).unwrap();
        let path = expected.path().join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let target = tempfile::tempdir().unwrap();

    download(&store, driver, "s3://many", target.path(), &[]);

    assert_eq!(
        tree::sha256sums(target.path()).unwrap(),
        tree::sha256sums(expected.path()).unwrap()
    );
}

fn an_object_in_many_ranges(driver: &str) {
    let source = tempfile::tempdir().unwrap();
    // Not a multiple of anything that a buffer, page or part could be.
    tree::random_file(&source.path().join("large.bin"), (300 << 20) + 12_345, 7).unwrap();
    let store = TestStore::start("large").unwrap();
    store.put_tree("large", "", source.path()).unwrap();
    let target = tempfile::tempdir().unwrap();

    let mut args: Vec<&OsStr> = vec!["download".as_ref(), "s3://large/".as_ref()];
    args.extend([target.path().as_os_str(), "--json".as_ref()]);
    let output = PROGRAMS.data(store.access(), driver, &args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    assert_eq!(tree::sha256sums(target.path()).unwrap(), tree::sha256sums(source.path()).unwrap());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verification"]["verified"]["crc64nvme"], 1, "{report}");
    let peak = report["usage"]["rss_bytes_peak"].as_u64().unwrap();
    assert!(peak < 100 << 20, "peak RSS {peak}");
}

fn a_prefix_is_a_folder(driver: &str) {
    let store = TestStore::start("prefix").unwrap();
    for key in ["a/b/c/d/1.txt", "a/b/c/2.txt", "a/bc/3.txt", "a/b/folder/"] {
        store.put("prefix", key, key.as_bytes()).unwrap();
    }
    let target = tempfile::tempdir().unwrap();

    download(&store, driver, "s3://prefix/a/b", target.path(), &[]);

    assert_eq!(fs::read_to_string(target.path().join("c/d/1.txt")).unwrap(), "a/b/c/d/1.txt");
    assert_eq!(fs::read_to_string(target.path().join("c/2.txt")).unwrap(), "a/b/c/2.txt");
    assert_eq!(tree::sha256sums(target.path()).unwrap().lines().count(), 2);
}

fn one_object_by_its_key(driver: &str) {
    let store = TestStore::start("single").unwrap();
    store.put("single", "a/b/c/d/1.txt", b"one").unwrap();
    store.put("single", "a/b/c/d/1.txt.bak", b"other").unwrap();
    let target = tempfile::tempdir().unwrap();

    download(&store, driver, "s3://single/a/b/c/d/1.txt", target.path(), &[]);

    assert_eq!(fs::read_to_string(target.path().join("1.txt")).unwrap(), "one");
    assert_eq!(tree::sha256sums(target.path()).unwrap().lines().count(), 1);
}

fn a_regex_is_anchored_at_the_start(driver: &str) {
    let store = TestStore::start("regex").unwrap();
    for key in ["p/a.txt", "p/a.txt.gz", "p/sub/a.txt", "p/b.csv"] {
        store.put("regex", key, key.as_bytes()).unwrap();
    }
    let target = tempfile::tempdir().unwrap();

    download(&store, driver, "s3://regex/p/", target.path(), &["--regex", r"a\.txt"]);

    let mut names: Vec<_> = fs::read_dir(target.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["a.txt", "a.txt.gz"]);
}

fn memory_of_two_mebibytes_is_enough(driver: &str) {
    let source = tempfile::tempdir().unwrap();
    for number in 0..20 {
        tree::random_file(&source.path().join(format!("{number}")), 3_000_000, number).unwrap();
    }
    let store = TestStore::start("small").unwrap();
    store.put_tree("small", "", source.path()).unwrap();
    let target = tempfile::tempdir().unwrap();

    download(&store, driver, "s3://small/", target.path(), &["--memory", "2MiB"]);

    assert_eq!(tree::sha256sums(target.path()).unwrap(), tree::sha256sums(source.path()).unwrap());
}
