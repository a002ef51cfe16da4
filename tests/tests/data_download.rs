//! `osmo data download` from every store: trees equal by `sha256sum`.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use osmo_tests::program::Programs;
use osmo_tests::stores::Place;
use osmo_tests::{on_stores, tree};
use serde_json::json;

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

on_stores! {
    [embedded, seaweedfs, seaweedfs_https, nginx, nginx_https] => {
        odd_names_arrive_as_they_are,
        thousands_of_keys,
        an_object_in_many_ranges,
        a_prefix_is_a_folder,
        one_object_by_its_key,
        a_regex_is_anchored_at_the_start,
        memory_of_two_mebibytes_is_enough,
    }
}

/// Downloads and asserts success; answers with what it said.
fn download(place: &Place, driver: &str, url: &str, to: &Path, more: &[&str]) -> String {
    let mut args: Vec<&OsStr> = vec!["download".as_ref(), url.as_ref(), to.as_os_str()];
    args.extend(more.iter().map(|arg| -> &OsStr { arg.as_ref() }));
    let output = place.data(PROGRAMS, driver, &args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!to.join(".osmo-partial").exists(), "the partial folder is left behind");
    said
}

fn odd_names_arrive_as_they_are(place: &mut Place, driver: &str) {
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
    // SeaweedFS takes a backslash for a slash.
    let kept = |name: &&String| !place.is("seaweedfs") || !name.contains('\\');
    for (seed, name) in names.iter().filter(kept).enumerate() {
        let bytes = if seed == 0 { 0 } else { 1000 + seed as u64 * 4099 };
        tree::random_file(&source.path().join(name), bytes, seed as u64).unwrap();
    }
    assert_eq!(names.last().unwrap().len(), 1000);
    place.put_tree("data/", source.path()).unwrap();
    let target = tempfile::tempdir().unwrap();

    download(place, driver, &place.url("data/"), target.path(), &[]);

    assert_eq!(tree::sha256sums(target.path()).unwrap(), tree::sha256sums(source.path()).unwrap());
}

/// Five pages of a listing; two where filling takes its time.
fn thousands_of_keys(place: &mut Place, driver: &str) {
    let expected = tempfile::tempdir().unwrap();
    let keys = if place.is("embedded") { 5000 } else { 1200 };
    for number in 0..keys {
        let name = format!("{:02}/{number:05}", number % 37);
        let text = format!("object {number}\n");
        let path = expected.path().join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    place.put_tree("", expected.path()).unwrap();
    let target = tempfile::tempdir().unwrap();

    download(place, driver, &place.url(""), target.path(), &[]);

    assert_eq!(
        tree::sha256sums(target.path()).unwrap(),
        tree::sha256sums(expected.path()).unwrap()
    );
}

fn an_object_in_many_ranges(place: &mut Place, driver: &str) {
    let source = tempfile::tempdir().unwrap();
    // More than the memory that is asserted below, and not a multiple of
    // anything that a buffer, page or part could be.
    let bytes = if place.is("embedded") { 300 << 20 } else { 128 << 20 } + 12_345;
    tree::random_file(&source.path().join("large.bin"), bytes, 7).unwrap();
    place.put_tree("", source.path()).unwrap();
    let target = tempfile::tempdir().unwrap();

    let url = place.url("");
    let mut args: Vec<&OsStr> = vec!["download".as_ref(), url.as_ref()];
    args.extend([target.path().as_os_str(), "--json".as_ref()]);
    let output = place.data(PROGRAMS, driver, &args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    assert_eq!(tree::sha256sums(target.path()).unwrap(), tree::sha256sums(source.path()).unwrap());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // The others were given no checksum, and make none up.
    let verified = if place.is("embedded") { json!({ "crc64nvme": 1 }) } else { json!({}) };
    assert_eq!(report["verification"]["verified"], verified, "{report}");
    let peak = report["usage"]["rss_bytes_peak"].as_u64().unwrap();
    assert!(peak < 100 << 20, "peak RSS {peak}");
}

fn a_prefix_is_a_folder(place: &mut Place, driver: &str) {
    for key in ["a/b/c/d/1.txt", "a/b/c/2.txt", "a/bc/3.txt", "a/b/folder/"] {
        place.put([(key, key)]).unwrap();
    }
    let target = tempfile::tempdir().unwrap();

    download(place, driver, &place.url("a/b"), target.path(), &[]);

    assert_eq!(fs::read_to_string(target.path().join("c/d/1.txt")).unwrap(), "a/b/c/d/1.txt");
    assert_eq!(fs::read_to_string(target.path().join("c/2.txt")).unwrap(), "a/b/c/2.txt");
    assert_eq!(tree::sha256sums(target.path()).unwrap().lines().count(), 2);
}

fn one_object_by_its_key(place: &mut Place, driver: &str) {
    place.put([("a/b/c/d/1.txt", "one"), ("a/b/c/d/1.txt.bak", "other")]).unwrap();
    let target = tempfile::tempdir().unwrap();

    download(place, driver, &place.url("a/b/c/d/1.txt"), target.path(), &[]);

    assert_eq!(fs::read_to_string(target.path().join("1.txt")).unwrap(), "one");
    assert_eq!(tree::sha256sums(target.path()).unwrap().lines().count(), 1);
}

fn a_regex_is_anchored_at_the_start(place: &mut Place, driver: &str) {
    for key in ["p/a.txt", "p/a.txt.gz", "p/sub/a.txt", "p/b.csv"] {
        place.put([(key, key)]).unwrap();
    }
    let target = tempfile::tempdir().unwrap();

    download(place, driver, &place.url("p/"), target.path(), &["--regex", r"a\.txt"]);

    let mut names: Vec<_> = fs::read_dir(target.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["a.txt", "a.txt.gz"]);
}

fn memory_of_two_mebibytes_is_enough(place: &mut Place, driver: &str) {
    let source = tempfile::tempdir().unwrap();
    for number in 0..20 {
        tree::random_file(&source.path().join(format!("{number}")), 3_000_000, number).unwrap();
    }
    place.put_tree("", source.path()).unwrap();
    let target = tempfile::tempdir().unwrap();

    download(place, driver, &place.url(""), target.path(), &["--memory", "2MiB"]);

    assert_eq!(tree::sha256sums(target.path()).unwrap(), tree::sha256sums(source.path()).unwrap());
}
