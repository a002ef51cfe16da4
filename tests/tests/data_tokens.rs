//! Transfers that outlive the credentials they began with: a container's
//! endpoint hands out tokens that live for a moment, the store refuses any
//! other, and nothing is lost.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use osmo_tests::interpose::{Fault, Harm, Interposer, Request};
use osmo_tests::issuer::{Grant, Issuer, Tokens};
use osmo_tests::program::Programs;
use osmo_tests::store::TestStore;
use osmo_tests::{tree, under_both_drivers};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

under_both_drivers!(
    transfers_outlive_their_tokens,
    tokens_revoked_at_every_step_lose_nothing,
    a_part_goes_on_where_it_stopped_with_fresh_credentials,
    an_endpoint_that_is_down_for_a_while_is_waited_for,
);

const EXPIRED: Fault = Fault::Answer(400, "ExpiredToken");
const LARGE_BYTES: u64 = (16 << 20) + 4321;
/// Long enough not to end by itself.
const LONG: Grant = Grant::For(Duration::from_secs(3_600));

/// A tree with an object of three parts.
fn tree() -> tempfile::TempDir {
    static LARGE: OnceLock<Vec<u8>> = OnceLock::new();
    let source = tempfile::tempdir().unwrap();
    let large = source.path().join("large");
    let made = LARGE.get_or_init(|| {
        tree::random_file(&large, LARGE_BYTES, 1).unwrap();
        fs::read(&large).unwrap()
    });
    fs::write(large, made).unwrap();
    fs::write(source.path().join("tiny"), "tiny").unwrap();
    source
}

fn store(source: &Path) -> TestStore {
    let store = TestStore::start("bkt").unwrap();
    store.put_tree("bkt", "p/", source).unwrap();
    store
}

fn data(proxy: &Interposer, issuer: &Issuer, driver: &str, args: &[&OsStr]) -> Command {
    let mut command = PROGRAMS.data(proxy.access(), driver, args);
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .envs(issuer.variables());
    command
}

fn download(proxy: &Interposer, issuer: &Issuer, driver: &str, to: &Path) -> Output {
    let args = ["download".as_ref(), "s3://bkt/p/".as_ref(), to.as_os_str()];
    data(proxy, issuer, driver, &args).output().unwrap()
}

fn upload(proxy: &Interposer, issuer: &Issuer, driver: &str, from: &Path) -> Output {
    let from = format!("{}/*", from.display());
    let args = ["upload".as_ref(), "s3://bkt/up/".as_ref(), from.as_ref()];
    data(proxy, issuer, driver, &args).output().unwrap()
}

#[track_caller]
fn assert_ended(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked") && !said.contains("sesame"), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
}

#[track_caller]
fn assert_same(to: &Path, source: &Path) {
    assert_eq!(tree::sha256sums(to).unwrap(), tree::sha256sums(source).unwrap());
}

/// What is in the store below `up/` is what was in the folder.
#[track_caller]
fn assert_stored(store: &TestStore, source: &Path) {
    let to = tempfile::tempdir().unwrap();
    let args = ["download".as_ref(), "s3://bkt/up/".as_ref(), to.path().as_os_str()];
    let output = PROGRAMS.data(store.access(), "epoll", &args).output().unwrap();
    assert_ended(&output, 0, &[]);
    assert_same(to.path(), source);
}

/// Different tokens that the store let in.
fn tokens_used(proxy: &Interposer) -> usize {
    let mut tokens: Vec<_> = proxy.seen().into_iter().filter_map(|request| request.token).collect();
    tokens.sort();
    tokens.dedup();
    tokens.len()
}

const LIFE: Duration = Duration::from_millis(1_500);
/// What each request takes, so that the transfer lasts several lives.
const DELAY: Duration = Duration::from_millis(900);

/// A store that is slow, and lets live tokens in.
fn slow(store: &TestStore, tokens: Tokens) -> Interposer {
    Interposer::start(store.access(), move |request| {
        if !tokens.live(request.token.as_deref()) {
            return EXPIRED;
        }
        // The link's own time, not a wait for anybody.
        std::thread::sleep(DELAY);
        Fault::None
    })
    .unwrap()
}

/// Each way at once, with an issuer and a proxy of its own.
fn transfers_outlive_their_tokens(driver: &str) {
    let source = tree();
    let store = store(source.path());
    let to = tempfile::tempdir().unwrap();
    let outlives = |transfer: &(dyn Fn(&Interposer, &Issuer) -> Output + Sync)| {
        let issuer = Issuer::start(store.access(), |_| Grant::For(LIFE)).unwrap();
        let proxy = slow(&store, issuer.tokens());
        assert_ended(&transfer(&proxy, &issuer), 0, &[]);
        assert!(tokens_used(&proxy) >= 3, "{}", tokens_used(&proxy));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| outlives(&|proxy, issuer| download(proxy, issuer, driver, to.path())));
        outlives(&|proxy, issuer| upload(proxy, issuer, driver, source.path()));
    });

    assert_same(to.path(), source.path());
    assert_stored(&store, source.path());
}

/// Refuses the first request of each kind, and all tokens until then with it:
/// listing, head, create, each part, complete.
fn tokens_revoked_at_every_step_lose_nothing(driver: &str) {
    let source = tree();
    let store = store(source.path());
    let to = tempfile::tempdir().unwrap();
    let survives = |transfer: &(dyn Fn(&Interposer, &Issuer) -> Output + Sync)| {
        let issuer = Issuer::start(store.access(), |_| LONG).unwrap();
        let tokens = issuer.tokens();
        let met = Mutex::new(Vec::new());
        let proxy = Interposer::start(store.access(), move |request| {
            let mut met = met.lock().unwrap();
            let step = (request.method.clone(), request.target.clone());
            if !met.contains(&step) {
                met.push(step);
                tokens.revoke();
            }
            if tokens.live(request.token.as_deref()) { Fault::None } else { EXPIRED }
        })
        .unwrap();
        assert_ended(&transfer(&proxy, &issuer), 0, &[]);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| survives(&|proxy, issuer| download(proxy, issuer, driver, to.path())));
        survives(&|proxy, issuer| upload(proxy, issuer, driver, source.path()));
    });

    assert_same(to.path(), source.path());
    assert_stored(&store, source.path());
}

fn a_part_goes_on_where_it_stopped_with_fresh_credentials(driver: &str) {
    let source = tree();
    let store = store(source.path());
    let issuer = Issuer::start(store.access(), |_| LONG).unwrap();
    let tokens = issuer.tokens();
    let proxy = Interposer::start(store.access(), move |request| {
        if request.range.as_deref() == Some(SECOND) {
            return Fault::Down(3_000_000, Harm::Reset);
        }
        if is_rest(request) && request.before == 0 {
            tokens.revoke();
        }
        if tokens.live(request.token.as_deref()) { Fault::None } else { EXPIRED }
    })
    .unwrap();
    let to = tempfile::tempdir().unwrap();

    assert_ended(&download(&proxy, &issuer, driver, to.path()), 0, &[]);

    assert_same(to.path(), source.path());
    let seen = proxy.seen();
    let whole = seen.iter().filter(|request| request.range.as_deref() == Some(SECOND));
    assert_eq!(whole.count(), 1, "the part began anew");
    let rest: Vec<_> = seen.iter().filter(|request| is_rest(request)).collect();
    assert_eq!(rest.len(), 2, "refused once, then served: {rest:?}");
    assert_eq!(rest[0].range, rest[1].range);
    assert_ne!(rest[0].token, rest[1].token);
}

/// The second part of the large object.
const SECOND: &str = "bytes=8388608-16777215";

/// Whether it asks for what is left of the second part.
fn is_rest(request: &Request) -> bool {
    request.range.as_deref().is_some_and(|range| range != SECOND && range.ends_with("-16777215"))
}

fn an_endpoint_that_is_down_for_a_while_is_waited_for(driver: &str) {
    let source = tree();
    let store = store(source.path());
    let issuer = Issuer::start(store.access(), |question| match question {
        0 => LONG,
        1 => Grant::Garbage,
        2..=3 => Grant::Down,
        _ => LONG,
    })
    .unwrap();
    let tokens = issuer.tokens();
    let proxy = Interposer::start(store.access(), move |request| {
        if request.method == "GET" && request.target.contains("large") && tokens.issued() == 1 {
            tokens.revoke();
        }
        if tokens.live(request.token.as_deref()) { Fault::None } else { EXPIRED }
    })
    .unwrap();
    let to = tempfile::tempdir().unwrap();

    assert_ended(&download(&proxy, &issuer, driver, to.path()), 0, &[]);

    assert_same(to.path(), source.path());
}

// What follows ends before a driver has anything to do.

#[test]
fn a_token_that_nothing_replaces_is_refused_with_a_sentence() {
    let source = tree();
    let store = store(source.path());
    let proxy = Interposer::start(store.access(), |_| EXPIRED).unwrap();
    let to = tempfile::tempdir().unwrap();

    let args = ["download".as_ref(), "s3://bkt/p/".as_ref(), to.path().as_os_str()];
    let mut command = PROGRAMS.data(proxy.access(), "auto", &args);
    let output = command.env("AWS_SESSION_TOKEN", "sesame").output().unwrap();

    assert_ended(&output, 2, &["the session token is no longer valid", "ExpiredToken"]);
    assert_eq!(proxy.seen().len(), 1, "asked again with the same");
}

#[test]
fn garbage_instead_of_credentials_is_a_sentence() {
    let store = store(tree().path());
    let issuer = Issuer::start(store.access(), |_| Grant::Garbage).unwrap();
    let proxy = Interposer::start(store.access(), |_| Fault::None).unwrap();
    let to = tempfile::tempdir().unwrap();

    let output = download(&proxy, &issuer, "auto", to.path());

    assert_ended(&output, 2, &["cannot get credentials for s3://bkt"]);
    assert!(proxy.seen().is_empty());
}
