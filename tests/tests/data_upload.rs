//! `osmo data upload` to every store that takes it, read back and compared by
//! `sha256sum` and `md5sum`.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use osmo_tests::program::Programs;
use osmo_tests::store::TestStore;
use osmo_tests::stores::Place;
use osmo_tests::{on_stores, tree};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

on_stores! {
    [embedded, seaweedfs, seaweedfs_https] => {
        a_tree_comes_back_as_it_was,
        names_keep_or_leave_the_folder,
        a_large_file_goes_in_parts,
        what_cannot_be_read_fails_alone,
        an_empty_folder_uploads_nothing,
    }
}

fn run(place: &Place, driver: &str, args: &[&OsStr]) -> Output {
    place.data(PROGRAMS, driver, args).output().unwrap()
}

fn upload(place: &Place, driver: &str, url: &str, from: &Path) {
    let output = run(place, driver, &["upload".as_ref(), url.as_ref(), from.as_os_str()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Downloads everything of a bucket into a fresh folder.
fn back(place: &Place) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let url = place.url("");
    let output =
        run(place, "epoll", &["download".as_ref(), url.as_ref(), folder.path().as_os_str()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

fn keys(place: &Place, driver: &str, url: &str) -> Vec<String> {
    let output = run(place, driver, &["list".as_ref(), url.as_ref(), "-r".as_ref()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    // Keys, a blank line, "Total N objects found".
    let total = lines.pop().unwrap();
    assert_eq!(lines.pop().as_deref(), Some(""));
    assert_eq!(total, format!("Total {} objects found", lines.len()));
    lines
}

fn a_tree_comes_back_as_it_was(place: &mut Place, driver: &str) {
    let source = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("empty", 0),
        ("one byte", 1),
        ("sub/ünïcödé 日本語", 70_000),
        ("sub/per%cent+plus", 262_144),
        ("sub/deeper/just over a buffer", 262_145),
        ("shard.tar", 9_000_001),
    ] {
        tree::random_file(&source.path().join(name), bytes, bytes).unwrap();
    }
    upload(place, driver, &place.url(""), &source.path().join("*"));

    let copy = back(place);
    assert_eq!(tree::sha256sums(copy.path()).unwrap(), tree::sha256sums(source.path()).unwrap());
}

fn names_keep_or_leave_the_folder(place: &mut Place, driver: &str) {
    let source = tempfile::tempdir().unwrap();
    let folder = source.path().join("a/b/c");
    fs::create_dir_all(folder.join("d")).unwrap();
    fs::write(folder.join("d/1.txt"), "one").unwrap();
    upload(place, driver, &place.url("kept"), &folder);
    upload(place, driver, &place.url("left"), &folder.join("*"));
    upload(place, driver, &place.url("file"), &folder.join("d/1.txt"));

    assert_eq!(
        keys(place, driver, &place.url("")),
        ["file/1.txt", "kept/c/d/1.txt", "left/d/1.txt"]
    );
}

fn a_large_file_goes_in_parts(place: &mut Place, driver: &str) {
    let source = tempfile::tempdir().unwrap();
    let file = source.path().join("large.bin");
    tree::random_file(&file, (80 << 20) + 4321, 3).unwrap();
    upload(place, driver, &place.url(""), &file);

    let copy = back(place);
    assert_eq!(tree::sha256sums(copy.path()).unwrap(), tree::sha256sums(source.path()).unwrap());
}

fn what_cannot_be_read_fails_alone(place: &mut Place, driver: &str) {
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("good"), "good").unwrap();
    fs::write(source.path().join("target"), "linked").unwrap();
    symlink("target", source.path().join("link")).unwrap();
    symlink("nothing", source.path().join("dangling")).unwrap();
    let made = Command::new("mkfifo").arg(source.path().join("fifo")).status().unwrap();
    assert!(made.success());
    fs::create_dir(source.path().join("folder")).unwrap();
    fs::write(source.path().join("folder/inside"), "inside").unwrap();
    symlink("folder", source.path().join("folder-link")).unwrap();
    fs::set_permissions(source.path().join("target"), fs::Permissions::from_mode(0o644)).unwrap();
    let from = source.path().join("*");
    let url = place.url("");
    let output = run(place, driver, &["upload".as_ref(), url.as_ref(), from.as_os_str()]);

    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("dangling") && said.contains("fifo"), "{said}");
    assert_eq!(keys(place, driver, &place.url("")), ["folder/inside", "good", "link", "target"]);
    assert_eq!(fs::read(back(place).path().join("link")).unwrap(), b"linked");
}

fn an_empty_folder_uploads_nothing(place: &mut Place, driver: &str) {
    let source = tempfile::tempdir().unwrap();
    upload(place, driver, &place.url(""), &source.path().join("*"));
    assert!(keys(place, driver, &place.url("")).is_empty());
}

#[test]
fn a_listing_for_machines_is_one_object_a_line() {
    let store = TestStore::start("lines").unwrap();
    store.put("lines", "p/a", b"four").unwrap();
    store.put("lines", "p/b \"c\"", b"").unwrap();

    let output = PROGRAMS
        .data(
            store.access(),
            "auto",
            &["list".as_ref(), "s3://lines/p/".as_ref(), "--json".as_ref()],
        )
        .output()
        .unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!((&lines[0]["key"], &lines[0]["bytes"]), (&"p/a".into(), &4.into()));
    assert_eq!((&lines[1]["key"], &lines[1]["bytes"]), (&"p/b \"c\"".into(), &0.into()));
    // `printf '' | md5sum`
    assert_eq!(lines[1]["etag"], "\"d41d8cd98f00b204e9800998ecf8427e\"");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let store = TestStore::start("head").unwrap();
    store.put("head", "a", b"").unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);

    let mut command =
        PROGRAMS.data(store.access(), "auto", &["list".as_ref(), "s3://head/".as_ref()]);
    let output = command.stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();

    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn etags_are_those_of_md5sum() {
    let source = tempfile::tempdir().unwrap();
    let file = source.path().join("file");
    tree::random_file(&file, 1_000_000, 11).unwrap();
    let store = TestStore::start("etag").unwrap();
    let args: [&OsStr; 3] = ["upload".as_ref(), "s3://etag/".as_ref(), file.as_os_str()];
    assert!(PROGRAMS.data(store.access(), "auto", &args).status().unwrap().success());

    let sum = Command::new("md5sum").arg(&file).output().unwrap();
    let expected = String::from_utf8(sum.stdout).unwrap()[..32].to_owned();
    let object = store.files().bucket("etag").unwrap().get("file").unwrap();
    assert!(object.info.etag.contains(&expected), "{}", object.info.etag);
}
