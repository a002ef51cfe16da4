//! A secret is nowhere to be seen: not on stdout or stderr, not at
//! `RUST_LOG=trace`, not in a report, not in a file that is left behind,
//! however a transfer ends.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use osmo_controller::run::access::StoreAccess;
use osmo_engine::access::{Addressing, CredentialFile, Environment, ProxyVariables, Route};
use osmo_engine::config::{Access, EngineConfig};
use osmo_engine::net::{Network, proxy::Proxies};
use osmo_engine::s3::{Contact, CredentialsSnapshot, Endpoint};
use osmo_engine::uri::Uri;
use osmo_tests::interpose::{Fault, Interposer};
use osmo_tests::issuer::{AUTHORIZATION, Grant, Issuer};
use osmo_tests::program::Programs;
use osmo_tests::store::TestStore;
use osmo_tests::{tree, under_both_drivers};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

under_both_drivers!(
    when_all_goes_well_through_a_proxy,
    when_access_is_denied,
    when_a_token_has_expired,
    when_a_proxy_refuses,
);

/// `printf somebody:sesame-proxy | base64`
const PROXY_BASE64: &str = "c29tZWJvZHk6c2VzYW1lLXByb3h5";
/// Nobody resolves it: only a proxy can know the way.
const BEHIND: &str = "store.invalid";

/// A store with one small and one large object, and where things are left.
struct Scene {
    store: TestStore,
    issuer: Issuer,
    folder: tempfile::TempDir,
}

impl Scene {
    /// Its credentials are granted so; only bytes that move need be many.
    fn new(grant: Grant, large_bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for below in ["source", "to", "benchmarks", "home"] {
            fs::create_dir(folder.path().join(below)).unwrap();
        }
        let source = folder.path().join("source");
        tree::random_file(&source.join("large"), large_bytes, 1).unwrap();
        fs::write(source.join("tiny"), "tiny").unwrap();
        let store = TestStore::start("bkt").unwrap();
        store.put_tree("bkt", "p/", &source).unwrap();
        let issuer = Issuer::start(store.access(), move |_| grant).unwrap();
        Self { store, issuer, folder }
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        self.folder.path().join(below)
    }

    /// Both transfers at once, with the container's keys.
    fn transfers(&self, proxy: &Interposer, driver: &str) -> [Output; 2] {
        self.transfers_to(proxy.access(), driver, &proxy_at("127.0.0.1:9"))
    }

    fn transfers_to(&self, store: &StoreAccess, driver: &str, proxy: &str) -> [Output; 2] {
        let (to, from) = (self.path("to"), self.path("source"));
        let benchmarks = self.path("benchmarks");
        let out: [&OsStr; 3] =
            ["--json".as_ref(), "--benchmark-out".as_ref(), benchmarks.as_os_str()];
        let run = |args: &[&OsStr]| {
            let mut command = PROGRAMS.data(store, driver, args);
            command
                .env_remove("AWS_ACCESS_KEY_ID")
                .env_remove("AWS_SECRET_ACCESS_KEY")
                .envs(self.issuer.variables());
            self.loud(&mut command, proxy)
        };
        let down = ["download".as_ref(), "s3://bkt/p/".as_ref(), to.as_os_str()];
        let up = ["upload".as_ref(), "s3://bkt/up/".as_ref(), from.as_os_str()];
        let (down, up) = ([&down[..], &out].concat(), [&up[..], &out].concat());
        std::thread::scope(|scope| {
            let down = scope.spawn(|| run(&down));
            let up = run(&up);
            [down.join().unwrap(), up]
        })
    }

    fn loud(&self, command: &mut Command, proxy: &str) -> Output {
        command
            .env("RUST_LOG", "trace")
            .env("HOME", self.path("home"))
            .env("HTTPS_PROXY", proxy)
            .env("http_proxy", proxy)
            .env("NO_PROXY", "127.0.0.1")
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
            PROXY_BASE64,
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

/// Two ranges on the way down.
const RANGED: u64 = (8 << 20) + 5;
const LONG: Grant = Grant::For(std::time::Duration::from_secs(3_600));

fn proxy_at(address: &str) -> String {
    format!("http://somebody:sesame-proxy@{address}")
}

fn when_all_goes_well_through_a_proxy(driver: &str) {
    let scene = Scene::new(LONG, RANGED);
    let proxy = Interposer::start(scene.store.access(), |_| Fault::None).unwrap();
    let address = proxy.access().endpoint.trim_start_matches("http://").to_owned();
    let behind =
        StoreAccess { endpoint: format!("http://{BEHIND}"), ..scene.store.access().clone() };
    scene.assert_silent(&scene.transfers_to(&behind, driver, &proxy_at(&address)), 0);
    let seen = proxy.seen();
    assert!(seen.iter().any(|request| request.method == "PUT"));
    let basic = format!("Basic {PROXY_BASE64}");
    for request in seen {
        assert!(request.target.starts_with("http://store.invalid/"), "{request:?}");
        assert_eq!(request.proxy_authorization.as_deref(), Some(&*basic), "{request:?}");
    }
}

/// Its own refusal, of a request and of a tunnel; and a variable that cannot
/// be used at all.
fn when_a_proxy_refuses(driver: &str) {
    let scene = Scene::new(LONG, 5);
    let refuse = |_: &_| Fault::Answer(407, "ProxyAuthenticationRequired");
    let proxy = Interposer::start(scene.store.access(), refuse).unwrap();
    let address = proxy.access().endpoint.trim_start_matches("http://").to_owned();
    for (scheme, address) in [("http", &*address), ("https", &address), ("https", "no host")] {
        let endpoint = format!("{scheme}://{BEHIND}");
        let behind = StoreAccess { endpoint, ..scene.store.access().clone() };
        scene.assert_silent(&scene.transfers_to(&behind, driver, &proxy_at(address)), 2);
    }
    let seen = proxy.seen();
    assert!(seen.iter().any(|request| request.method == "CONNECT"));
    assert!(seen.iter().all(|request| request.proxy_authorization.is_some()), "{seen:?}");
}

fn when_access_is_denied(driver: &str) {
    let scene = Scene::new(LONG, 5);
    let refuse = |_: &_| Fault::Answer(403, "AccessDenied");
    let proxy = Interposer::start(scene.store.access(), refuse).unwrap();
    scene.assert_silent(&scene.transfers(&proxy, driver), 2);
}

fn when_a_token_has_expired(driver: &str) {
    let scene = Scene::new(LONG, 5);
    let refuse = |_: &_| Fault::Answer(400, "ExpiredToken");
    let proxy = Interposer::start(scene.store.access(), refuse).unwrap();
    scene.assert_silent(&scene.transfers(&proxy, driver), 2);
}

// What follows never comes to a driver.

#[test]
fn when_the_source_of_credentials_fails() {
    let scene = Scene::new(Grant::Garbage, 5);
    let proxy = Interposer::start(scene.store.access(), |_| Fault::None).unwrap();
    scene.assert_silent(&scene.transfers(&proxy, "auto"), 2);
}

#[test]
fn when_the_credential_file_is_malformed() {
    let scene = Scene::new(LONG, 5);
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
    let output = scene
        .loud(&mut PROGRAMS.data(scene.store.access(), "auto", &args), &proxy_at("127.0.0.1:9"));
    scene.assert_silent(&[output], 2);
}

#[test]
fn when_a_url_holds_a_password() {
    let scene = Scene::new(LONG, 5);
    let mut access = scene.store.access().clone();
    // A URL with a password is refused, and not repeated.
    access.endpoint = "http://somebody:sesame-file@127.0.0.1:9".to_owned();
    let to = scene.path("to");
    let args: [&OsStr; 3] = ["download".as_ref(), "s3://bkt/p/".as_ref(), to.as_os_str()];
    let output = scene.loud(&mut PROGRAMS.data(&access, "auto", &args), &proxy_at("127.0.0.1:9"));
    scene.assert_silent(&[output], 2);
}

/// With a password in it.
const URL: &str = "http://somebody:sesame@127.0.0.1:9";

#[test]
fn debug_output_of_what_holds_a_secret_shows_none() {
    let file = "auth: {data: {s3://b: {access_key_id: id, access_key: sesame, override_url: URL}}}";
    let file = file.replace("URL", &format!("'{URL}'"));
    let file = CredentialFile::parse("config.yaml", &file).unwrap();
    let endpoint = Endpoint::new("http://store", "us-east-1", Addressing::Path).unwrap();
    let keys = CredentialsSnapshot::fixed("id", "sesame", Some("sesame"));
    let variables = ProxyVariables::from_lookup(|name| {
        (name != "no_proxy" && name != "NO_PROXY").then(|| URL.to_owned())
    });
    let network = Network { proxies: Proxies::of(&variables), ..Network::default() };
    let contact = Contact { network, ..Contact::new(endpoint.into(), keys) };
    let access = Access { endpoint_url: Some(URL.to_owned()), ..Access::default() };
    let uri = Uri::parse("s3://b").unwrap();
    let no_style = |name: &str| name.starts_with("AWS_ENDPOINT").then(|| URL.to_owned());
    let from = Environment::from_lookup(no_style);
    let route = Route::of(&Access::default(), &from, None, &uri).unwrap();
    let config = EngineConfig { access, ..EngineConfig::default() };
    let shown = format!("{file:?} {contact:?} {config:?} {variables:?} {from:?} {route:?}");
    // What can be known of them is there.
    assert!(shown.matches("127.0.0.1:9").count() >= 4, "{shown}");
    assert!(!shown.contains("sesame"), "{shown}");
}
