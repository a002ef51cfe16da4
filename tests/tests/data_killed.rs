//! Downloads that are killed, again and again: the same command goes on where
//! they stopped, and fetches twice only what was in flight.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use osmo_controller::run::access::StoreAccess;
use osmo_engine::clock::Chance;
use osmo_tests::model_server::{
    Asked, Catalog, Content, Dataset, Model, ModelServer, Profile, Watch,
};
use osmo_tests::program::Programs;
use osmo_tests::{tree, under_both_drivers};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));
const SEED: u64 = 7;

under_both_drivers!(
    ten_kills_cost_only_what_was_in_flight,
    #[ignore = "minutes; see CONTRIBUTING.md"]
    a_hundred_kills_cost_only_what_was_in_flight,
);

/// 2 GiB and some: one large object, some middling, many small.
fn sets() -> Vec<Dataset> {
    let small = Dataset { bytes_most: 200 << 10, ..Dataset::new("small", 2000, 0) };
    let middling = Dataset { bytes_most: 64 << 20, ..Dataset::new("middling", 20, 16 << 20) };
    vec![small, middling, Dataset::new("large", 1, (1200 << 20) + 77)]
}

/// The objects that come in one answer.
fn small() -> impl Iterator<Item = (u64, String)> {
    let set = sets().remove(0);
    (0..set.count).map(move |index| (set.id(index), set.key(index)))
}

fn write_tree(root: &Path) {
    let content = Content::new(SEED);
    let mut window = content.window();
    for set in sets() {
        for index in 0..set.count {
            let path = root.join(set.key(index));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            content.write(&mut window, set.id(index), set.bytes(index), &path).unwrap();
        }
    }
}

fn ten_kills_cost_only_what_was_in_flight(driver: &str) {
    kills(driver, 10);
}

fn a_hundred_kills_cost_only_what_was_in_flight(driver: &str) {
    kills(driver, 100);
}

fn kills(driver: &str, count: u64) {
    let watch = Arc::new(Watch::default());
    let watched = Arc::clone(&watch);
    let plain = Profile::named("plain").unwrap();
    let server =
        ModelServer::start(move || Model::new(plain, Catalog::new(sets()), SEED).watched(watched))
            .unwrap();
    let seed = Chance::from_clock().next_bits();
    eprintln!("kills at random from seed {seed}");
    let mut chance = Chance::from_seed(seed);
    let to = tempfile::tempdir().unwrap();
    let total: u64 = sets().iter().map(Dataset::bytes_total).sum();
    let mut settled = Settled::default();
    let (mut fetched, mut in_flight) = (0, 0);
    for kill in 0..count {
        let step = total / (count + 1);
        let target = watch.bytes() + step / 2 + chance.up_to(step);
        let mut program = start(&server, driver, to.path());
        while watch.bytes() < target && program.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        program.kill().unwrap();
        let said = program.wait_with_output().unwrap();
        assert!(said.status.code().is_none(), "it ended before kill {kill}: {said:?}");
        let asked = watch.take();
        fetched += bytes(&asked);
        in_flight += settled.take(asked, to.path());
        assert_whole_files_only(to.path());
    }
    let output = start(&server, driver, to.path()).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let asked = watch.take();
    fetched += bytes(&asked);
    settled.take(asked, to.path());
    let twice = fetched - total;
    eprintln!("{driver}: {count} kills, {twice} bytes twice, {in_flight} in flight, of {total}");
    assert!(twice <= in_flight, "{twice} bytes came twice, {in_flight} were in flight");
    let expected = tempfile::tempdir().unwrap();
    write_tree(expected.path());
    assert_eq!(tree::sha256sums(to.path()).unwrap(), tree::sha256sums(expected.path()).unwrap());
    assert!(!to.path().join(".osmo-partial").exists(), "something was left");
}

fn start(server: &ModelServer, driver: &str, to: &Path) -> Child {
    let store = StoreAccess {
        endpoint: server.url(),
        access_key: "key".to_owned(),
        secret_key: "secret".to_owned(),
    };
    let args: [&OsStr; 3] = ["download".as_ref(), "s3://bench/".as_ref(), to.as_os_str()];
    let mut command = PROGRAMS.data(&store, driver, &args);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn bytes(asked: &[Asked]) -> u64 {
    asked.iter().map(|asked| asked.range.end - asked.range.start).sum()
}

/// Ranges that a client had dealt with before it was killed: it asked for
/// something else on the same connection afterwards. A file that is fetched as a
/// whole has its name by then as well, or was still on its way there.
#[derive(Default)]
struct Settled(HashMap<u64, Vec<Range<u64>>>);

impl Settled {
    /// Takes what one run has asked for, nothing of which may have been settled
    /// before; how many bytes were in flight when it ended.
    fn take(&mut self, asked: Vec<Asked>, to: &Path) -> u64 {
        for Asked { object, range, .. } in &asked {
            for before in self.0.get(object).into_iter().flatten() {
                let overlaps = range.start < before.end && before.start < range.end;
                assert!(!overlaps, "{range:?} of object {object} again, after {before:?}");
            }
        }
        let unnamed: HashSet<u64> =
            small().filter(|(_, key)| !to.join(key).exists()).map(|(id, _)| id).collect();
        let mut last = HashSet::new();
        let mut in_flight = 0;
        for Asked { connection, object, range } in asked.into_iter().rev() {
            if last.insert(connection) || unnamed.contains(&object) {
                in_flight += range.end - range.start;
            } else {
                self.0.entry(object).or_default().push(range);
            }
        }
        in_flight
    }
}

/// Every file under a name that the user sees has its whole size.
fn assert_whole_files_only(to: &Path) {
    for set in sets() {
        for index in 0..set.count {
            if let Ok(found) = fs::metadata(to.join(set.key(index))) {
                assert_eq!(found.len(), set.bytes(index), "{}", set.key(index));
            }
        }
    }
}
