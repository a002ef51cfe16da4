//! The model server, seen by curl and by `osmo data`: its bytes are what
//! `sha256sum` says of the same tree on disk.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use osmo_controller::run::access::StoreAccess;
use osmo_tests::model_server::{Catalog, Content, Dataset, Model, ModelServer, Profile};
use osmo_tests::program::Programs;
use osmo_tests::{tree, under_both_drivers};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));
const SEED: u64 = 42;

under_both_drivers!(
    a_generated_tree_arrives,
    an_upload_is_digested,
    too_many_requests_are_waited_out
);

fn sets() -> Vec<Dataset> {
    let mixed = Dataset { bytes_most: 9000, ..Dataset::new("mixed", 1100, 0) };
    vec![mixed, Dataset::new("large", 1, (20 << 20) + 77)]
}

fn start(profile: Profile) -> ModelServer {
    ModelServer::start(move || Model::new(profile, Catalog::new(sets()), SEED)).unwrap()
}

fn plain() -> Profile {
    Profile::named("plain").unwrap()
}

fn write_tree(set: &Dataset, root: &Path) {
    let content = Content::new(SEED);
    let mut window = content.window();
    for index in 0..set.count {
        let path = root.join(set.path(index));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        content.write(&mut window, set.id(index), set.bytes(index), &path).unwrap();
    }
}

fn data(server: &ModelServer, driver: &str, args: &[&OsStr]) {
    let store = StoreAccess {
        endpoint: server.url(),
        access_key: "key".to_owned(),
        secret_key: "secret".to_owned(),
    };
    let output = PROGRAMS.data(&store, driver, args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn download(server: &ModelServer, driver: &str, set: &Dataset) {
    let (expected, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_tree(set, expected.path());
    let remote = format!("s3://bench/{}/", set.name);
    data(server, driver, &["download".as_ref(), remote.as_ref(), target.path().as_os_str()]);
    assert_eq!(
        tree::sha256sums(target.path()).unwrap(),
        tree::sha256sums(expected.path()).unwrap()
    );
}

fn a_generated_tree_arrives(driver: &str) {
    let server = start(plain());
    for set in sets() {
        download(&server, driver, &set);
    }
}

/// 40 objects at 50 requests a second, of which the first five pass: the
/// others meet SlowDown, and arrive.
fn too_many_requests_are_waited_out(driver: &str) {
    let profile = Profile { requests_per_s: Some(50), ..plain() };
    let set = Dataset::new("many", 40, 100);
    let catalog = Catalog::new(vec![set.clone()]);
    let server = ModelServer::start(move || Model::new(profile, catalog, SEED)).unwrap();
    download(&server, driver, &set);
}

/// `x-amz-checksum-crc64nvme` of "123456789" is the catalogue's check value.
fn an_upload_is_digested(driver: &str) {
    let server = start(plain());
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("check"), "123456789").unwrap();
    // Above the size of one part.
    tree::random_file(&source.path().join("parts"), (17 << 20) + 5, 1).unwrap();
    let all = source.path().join("*");
    data(&server, driver, &["upload".as_ref(), "s3://bench/up/".as_ref(), all.as_os_str()]);

    let head = |key: &str| {
        let url = format!("{}/bench/up/{key}", server.url());
        let output = Command::new("curl").args(["-sSfI", &url]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(head("check").contains("x-amz-checksum-crc64nvme: rosUhgp5mIg=\r\n"));
    assert!(head("check").contains("content-length: 9\r\n"));
    assert!(head("parts").contains(&format!("content-length: {}\r\n", (17 << 20) + 5)));
}

#[test]
fn curl_reads_ranges_of_the_same_bytes() {
    let server = start(plain());
    let set = sets().pop().unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_tree(&set, folder.path());
    let whole = fs::read(folder.path().join(set.path(0))).unwrap();
    let url = format!("{}/bench/{}", server.url(), set.key(0));
    for (first, last) in [(0, 0), (4095, 4096), (262_143, 9_999_999), (20 << 20, (20 << 20) + 76)] {
        let range = format!("{first}-{last}");
        let output = Command::new("curl").args(["-sSf", "-r", &range, &url]).output().unwrap();
        assert!(output.stdout == whole[first..=last], "{range}");
    }
    let code = |args: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}"]).args(args);
        String::from_utf8(curl.output().unwrap().stdout).unwrap()
    };
    assert_eq!(code(&["-r", "30000000-", &url]), "416");
    assert_eq!(code(&["-H", "If-Match: \"other\"", &url]), "412");
    assert_eq!(code(&[&format!("{}/bench/none", server.url())]), "404");
    assert_eq!(code(&[&format!("{}/other/none", server.url())]), "404");
}

/// curl waits for `100 Continue` before a body of more than 1 MiB.
#[test]
fn curl_uploads() {
    let server = start(plain());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    tree::random_file(&path, 3 << 20, 2).unwrap();
    let url = format!("{}/bench/up/body", server.url());
    let put = Command::new("curl").args(["-sSf", "-T"]).arg(&path).arg(&url).status().unwrap();
    assert!(put.success());
    let wrong = ["-s", "-w", "%{http_code}", "-o", "/dev/null", "-X", "PUT", "--data-binary", "x"];
    let mut curl = Command::new("curl");
    curl.args(wrong).args(["-H", "x-amz-checksum-crc64nvme: rosUhgp5mIg=", &url]);
    assert_eq!(String::from_utf8(curl.output().unwrap().stdout).unwrap(), "400");
}
