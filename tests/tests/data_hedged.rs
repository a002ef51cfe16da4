//! Requests that stall: a second one goes on from where the first one stopped, and
//! no store that is slow as a whole is asked for everything twice.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, RwLock};

use osmo_tests::interpose::{Fault, Harm, Hold, Interposer, Request};
use osmo_tests::program::Programs;
use osmo_tests::store::TestStore;
use osmo_tests::{tree, under_both_drivers};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

under_both_drivers!(
    an_answer_that_does_not_come_is_asked_for_again,
    a_body_that_stops_is_gone_on_with_elsewhere,
    a_stall_that_ends_by_itself_is_no_harm,
    where_everything_stalls_little_is_asked_twice,
);

const LARGE_BYTES: u64 = (24 << 20) + 4321;
const SECOND_AT: u64 = 8 << 20;
const SECOND_END: u64 = 16 << 20;
/// A buffer of the engine: what is not full is asked for again.
const BUFFER_BYTES: u64 = 64 << 10;

struct Scene {
    store: TestStore,
    source: tempfile::TempDir,
    to: tempfile::TempDir,
}

impl Scene {
    fn new(files: &[(&str, u64)]) -> Self {
        let source = tempfile::tempdir().unwrap();
        for (number, (name, bytes)) in (0..).zip(files) {
            tree::random_file(&source.path().join(name), *bytes, number).unwrap();
        }
        let store = TestStore::start("bkt").unwrap();
        store.put_tree("bkt", "p/", source.path()).unwrap();
        Self { store, source, to: tempfile::tempdir().unwrap() }
    }

    fn proxy(&self, fault: impl Fn(&Request) -> Fault + Send + Sync + 'static) -> Interposer {
        Interposer::start(self.store.access(), fault).unwrap()
    }

    fn command(&self, proxy: &Interposer, driver: &str) -> Command {
        let to = self.to.path().as_os_str();
        let args: [&OsStr; 4] =
            ["download".as_ref(), "s3://bkt/p/".as_ref(), to, "--json".as_ref()];
        let mut command = PROGRAMS.data(proxy.access(), driver, &args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Downloads it all; how many requests were hedged.
    fn download(&self, proxy: &Interposer, driver: &str) -> u64 {
        let output = self.command(proxy, driver).output().unwrap();
        self.ended(&output)
    }

    fn ended(&self, output: &std::process::Output) -> u64 {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["retries"], 0, "a stall is no failure");
        let sums = |at: &Path| tree::sha256sums(at).unwrap();
        assert_eq!(sums(self.to.path()), sums(self.source.path()));
        report["hedges"].as_u64().unwrap()
    }
}

fn gets<'a>(seen: &'a [Request], key: &'a str) -> impl Iterator<Item = &'a Request> {
    seen.iter().filter(move |request| request.is("GET", key))
}

fn an_answer_that_does_not_come_is_asked_for_again(driver: &str) {
    let scene = Scene::new(&[("one", 70_000), ("other", 10)]);
    let hold = Hold::default();
    let proxy = scene.proxy({
        let hold = hold.clone();
        move |request| match request.is("GET", "/p/one") && request.before == 0 {
            true => Fault::Late(hold.clone()),
            false => Fault::None,
        }
    });
    assert_eq!(scene.download(&proxy, driver), 1);
    hold.release();
    assert_eq!(gets(&proxy.seen(), "/p/one").count(), 2);
}

fn a_body_that_stops_is_gone_on_with_elsewhere(driver: &str) {
    const SENT: u64 = 5_000_000;
    let scene = Scene::new(&[("large", LARGE_BYTES)]);
    let hold = Hold::default();
    let second = format!("bytes={SECOND_AT}-{}", SECOND_END - 1);
    let proxy = scene.proxy({
        let hold = hold.clone();
        move |request| match request.range.as_deref() == Some(&second) {
            true => Fault::Down(SENT, Harm::Hold(hold.clone())),
            false => Fault::None,
        }
    });
    assert_eq!(scene.download(&proxy, driver), 1);
    hold.release();
    let seen = proxy.seen();
    let ranges: Vec<_> = gets(&seen, "/p/large").filter_map(|get| get.range.clone()).collect();
    let ending = format!("-{}", SECOND_END - 1);
    let again = ranges.iter().filter(|range| range.ends_with(&ending)).nth(1).unwrap();
    let from = again.strip_prefix("bytes=").and_then(|range| range.strip_suffix(&ending));
    let from: u64 = from.unwrap().parse().unwrap();
    let due = SECOND_AT + SENT;
    assert!(from <= due && due - from <= BUFFER_BYTES, "{from} instead of {due}: {ranges:?}");
    assert_eq!(ranges.len(), 5, "{ranges:?}");
}

fn a_stall_that_ends_by_itself_is_no_harm(driver: &str) {
    let scene = Scene::new(&[("one", 3_000_000)]);
    let (first, second) = (Hold::default(), Hold::default());
    let proxy = scene.proxy({
        let (first, second) = (first.clone(), second.clone());
        move |request| match (request.is("GET", "/p/one"), &request.range) {
            (true, None) => Fault::Down(1_000_000, Harm::Hold(first.clone())),
            (true, Some(_)) => Fault::Late(second.clone()),
            _ => Fault::None,
        }
    });
    let child = scene.command(&proxy, driver).spawn().unwrap();
    first.reached();
    // The second request is under way, and stalls as well.
    second.reached();
    first.release();
    let output = child.wait_with_output().unwrap();
    second.release();
    assert_eq!(scene.ended(&output), 0);
}

fn where_everything_stalls_little_is_asked_twice(driver: &str) {
    const FILES: usize = 12;
    let names: Vec<String> = (0..FILES).map(|number| format!("f{number:02}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), 1_000_u64)).collect();
    let scene = Scene::new(&files);
    let holds: Vec<Hold> = names.iter().map(|_| Hold::default()).collect();
    // Whoever asks a second time waits until the test has counted.
    let counting = Arc::new(RwLock::new(()));
    let counted = counting.write().unwrap();
    let proxy = scene.proxy({
        let (holds, counting) = (holds.clone(), Arc::clone(&counting));
        move |request| {
            let number = (0..FILES).find(|number| request.is("GET", &format!("/p/f{number:02}")));
            match number {
                Some(number) if request.before == 0 => Fault::Late(holds[number].clone()),
                Some(_) => {
                    drop(counting.read());
                    Fault::None
                }
                None => Fault::None,
            }
        }
    });
    let child = scene.command(&proxy, driver).spawn().unwrap();
    holds.iter().for_each(Hold::reached);
    // Three times the least patience.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let seen = proxy.seen();
    let twice = seen.iter().filter(|get| get.is("GET", "/p/f") && get.before > 0).count();
    assert!(twice <= FILES / 4, "{twice} of {FILES} were asked for twice");
    drop(counted);
    holds.iter().for_each(Hold::release);
    let output = child.wait_with_output().unwrap();
    scene.ended(&output);
}
