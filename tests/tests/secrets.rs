//! A secret is nowhere to be seen: not on stdout or stderr, not at
//! `RUST_LOG=trace`, not in a report, not in a file that is left behind,
//! however a transfer ends.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use osmo_engine::access::{Addressing, CredentialFile};
use osmo_engine::config::{Access, EngineConfig};
use osmo_engine::s3::{Contact, CredentialsSnapshot, Endpoint};
use osmo_tests::interpose::{Fault, Interposer};
use osmo_tests::issuer::{AUTHORIZATION, Grant, Issuer};
use osmo_tests::program::Programs;
use osmo_tests::store::TestStore;
use osmo_tests::{tree, under_both_drivers};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

under_both_drivers!(
    when_all_goes_well,
    when_access_is_denied,
    when_a_token_has_expired,
    when_the_source_of_credentials_fails,
    when_the_credential_file_is_malformed,
    when_nobody_answers,
);

/// A proxy's password, in the variable that names the proxy.
const PROXY: &str = "http://somebody:sesame-proxy@127.0.0.1:9";

/// A store with one small and one large object, and where things are left.
struct Scene {
    store: TestStore,
    issuer: Issuer,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(grant: Grant) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for below in ["source", "to", "benchmarks", "home"] {
            fs::create_dir(folder.path().join(below)).unwrap();
        }
        let source = folder.path().join("source");
        tree::random_file(&source.join("large"), (9 << 20) + 5, 1).unwrap();
        fs::write(source.join("tiny"), "tiny").unwrap();
        let store = TestStore::start("bkt").unwrap();
        store.put_tree("bkt", "p/", &source).unwrap();
        let issuer = Issuer::start(store.access(), move |_| grant).unwrap();
        Self { store, issuer, folder }
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        self.folder.path().join(below)
    }

    /// Both transfers, with the container's keys.
    fn transfers(&self, proxy: &Interposer, driver: &str) -> [Output; 2] {
        let (to, from) = (self.path("to"), self.path("source"));
        let benchmarks = self.path("benchmarks");
        let out: [&OsStr; 3] =
            ["--json".as_ref(), "--benchmark-out".as_ref(), benchmarks.as_os_str()];
        let run = |args: &[&OsStr]| {
            let mut command = PROGRAMS.data(proxy.access(), driver, args);
            command
                .env_remove("AWS_ACCESS_KEY_ID")
                .env_remove("AWS_SECRET_ACCESS_KEY")
                .envs(self.issuer.variables());
            self.loud(&mut command)
        };
        let down = ["download".as_ref(), "s3://bkt/p/".as_ref(), to.as_os_str()];
        let up = ["upload".as_ref(), "s3://bkt/up/".as_ref(), from.as_os_str()];
        [run(&[&down[..], &out].concat()), run(&[&up[..], &out].concat())]
    }

    fn loud(&self, command: &mut Command) -> Output {
        command
            .env("RUST_LOG", "trace")
            .env("HOME", self.path("home"))
            .env("HTTPS_PROXY", PROXY)
            .output()
            .unwrap()
    }

    /// No output and no file left behind holds a secret.
    #[track_caller]
    fn assert_silent(&self, outputs: &[Output], code: i32) {
        let secrets = [
            self.store.access().secret_key.as_str(),
            "sesame-token",
            "sesame-garbage",
            "sesame-proxy",
            "sesame-file",
            AUTHORIZATION,
        ];
        let mut shown: Vec<(String, Vec<u8>)> = Vec::new();
        for output in outputs {
            assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
            // The log is open: the engine's own lines are there.
            assert!(!output.stderr.is_empty());
            shown.push(("stdout".to_owned(), output.stdout.clone()));
            shown.push(("stderr".to_owned(), output.stderr.clone()));
        }
        for below in ["to", "benchmarks", "home"] {
            files(&self.path(below), &mut shown);
        }
        for (place, bytes) in &shown {
            for secret in secrets {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                let line = text(bytes);
                let line = line.lines().find(|line| line.contains(secret)).unwrap_or_default();
                assert!(!found, "{secret} is in {place}: {line}");
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

const LONG: Grant = Grant::For(std::time::Duration::from_secs(3_600));

fn when_all_goes_well(driver: &str) {
    let scene = Scene::new(LONG);
    let proxy = Interposer::start(scene.store.access(), |_| Fault::None).unwrap();
    scene.assert_silent(&scene.transfers(&proxy, driver), 0);
}

fn when_access_is_denied(driver: &str) {
    let scene = Scene::new(LONG);
    let refuse = |_: &_| Fault::Answer(403, "AccessDenied");
    let proxy = Interposer::start(scene.store.access(), refuse).unwrap();
    scene.assert_silent(&scene.transfers(&proxy, driver), 2);
}

fn when_a_token_has_expired(driver: &str) {
    let scene = Scene::new(LONG);
    let refuse = |_: &_| Fault::Answer(400, "ExpiredToken");
    let proxy = Interposer::start(scene.store.access(), refuse).unwrap();
    scene.assert_silent(&scene.transfers(&proxy, driver), 2);
}

fn when_the_source_of_credentials_fails(driver: &str) {
    let scene = Scene::new(Grant::Garbage);
    let proxy = Interposer::start(scene.store.access(), |_| Fault::None).unwrap();
    scene.assert_silent(&scene.transfers(&proxy, driver), 2);
}

fn when_the_credential_file_is_malformed(driver: &str) {
    let scene = Scene::new(LONG);
    let file = scene.path("config.yaml");
    fs::write(&file, "auth: {data: {s3://bkt: {access_key: [sesame-file]}}}").unwrap();
    let to = scene.path("to");
    let args: [&OsStr; 5] = [
        "download".as_ref(),
        "s3://bkt/p/".as_ref(),
        to.as_os_str(),
        "--config-file".as_ref(),
        file.as_os_str(),
    ];
    let output = scene.loud(&mut PROGRAMS.data(scene.store.access(), driver, &args));
    scene.assert_silent(&[output], 2);
}

fn when_nobody_answers(driver: &str) {
    let scene = Scene::new(LONG);
    let mut access = scene.store.access().clone();
    // A URL with a password is refused, and not repeated.
    access.endpoint = "http://somebody:sesame-file@127.0.0.1:9".to_owned();
    let to = scene.path("to");
    let args: [&OsStr; 3] = ["download".as_ref(), "s3://bkt/p/".as_ref(), to.as_os_str()];
    let output = scene.loud(&mut PROGRAMS.data(&access, driver, &args));
    scene.assert_silent(&[output], 2);
}

#[test]
fn debug_output_of_what_holds_a_secret_shows_none() {
    let file = "auth: {data: {s3://b: {access_key_id: id, access_key: sesame}}}";
    let file = CredentialFile::parse("config.yaml", file).unwrap();
    let endpoint = Endpoint::new("http://store", "us-east-1", Addressing::Path).unwrap();
    let keys = CredentialsSnapshot::fixed("id", "sesame", Some("sesame"));
    let contact = Contact::new(endpoint.into(), keys);
    let config = EngineConfig { access: Access::default(), ..EngineConfig::default() };
    let shown = format!("{file:?} {contact:?} {config:?}");
    assert!(!shown.contains("sesame"), "{shown}");
}
