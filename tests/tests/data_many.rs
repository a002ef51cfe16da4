//! Very many keys: listed, planned and deleted in bounded memory, and moved
//! before all of them are known.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use osmo_controller::run::access::StoreAccess;
use osmo_tests::fault_server::{ACCESS_KEY, Call, FaultServer, SECRET_KEY};
use osmo_tests::model_server::{Catalog, Dataset, Model, ModelServer, Profile};
use osmo_tests::program::Programs;
use osmo_tests::under_both_drivers;

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

/// What a longer listing may cost more than a short one.
const GROWTH_KIB_MAX: u64 = 8 << 10;

under_both_drivers!(objects_move_before_the_listing_has_ended);

/// Runs `argv[2:]` with its output in the file `argv[1]`; prints its exit code
/// and `ru_maxrss`, in KiB.
const MEASURE: &str = "
import os, sys
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
action = [(os.POSIX_SPAWN_DUP2, out, 1)]
pid = os.posix_spawn(sys.argv[2], ['osmo'] + sys.argv[3:], os.environ, file_actions=action)
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
";

/// Runs `osmo data`; its peak of resident memory in KiB.
fn peak_kib(server: &ModelServer, args: &[&OsStr], out: &Path) -> u64 {
    let store = StoreAccess {
        endpoint: server.url(),
        access_key: "key".to_owned(),
        secret_key: "secret".to_owned(),
    };
    let osmo = PROGRAMS.data(&store, "epoll", args);
    let mut python = Command::new("python3");
    python.args(["-c", MEASURE]).arg(out).arg(osmo.get_program()).args(osmo.get_args());
    python.env_clear().envs(osmo.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = python.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (code, kib) = said.trim().split_once(' ').unwrap();
    assert_eq!(code, "0", "{}", String::from_utf8_lossy(&output.stderr));
    kib.parse().unwrap()
}

/// Names keys in each way there is, `counts` of them, and tells the peak of
/// each.
#[allow(clippy::print_stderr, reason = "the measurement is asked for by name")]
fn peaks(counts: [u64; 3]) -> [u64; 3] {
    let profile = Profile::named("plain").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (out, to) = (folder.path().join("out"), folder.path().join("to"));
    fs::create_dir(&to).unwrap();
    let remote = OsStr::new("s3://bench/many/");
    let dry = ["--dry-run", "--json"].map(OsStr::new);
    let list = ["list".as_ref(), remote, "-r".as_ref(), "--json".as_ref()];
    let download = ["download".as_ref(), remote, to.as_os_str(), dry[0], dry[1]];
    let delete = ["delete".as_ref(), remote, dry[0], dry[1]];
    // The plans end with a report.
    let verbs = [(&list[..], 0), (&download[..], 1), (&delete[..], 1)];
    std::array::from_fn(|at| {
        let ((args, more), count) = (verbs[at], counts[at]);
        let catalog = Catalog::new(vec![Dataset::new("many", count, 1)]);
        let server = ModelServer::start(move || Model::new(profile, catalog, 1)).unwrap();
        let began = Instant::now();
        let kib = peak_kib(&server, args, &out);
        eprintln!("{:?}: {count} keys in {:?}, peak {kib} KiB", args[0], began.elapsed());
        let mut lines = BufReader::new(File::open(&out).unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        // A few stand in one folder, many in folders of a thousand.
        let named = ["\"many/0000000.bin\"", "\"many/0000/0000000.bin\""];
        assert!(named.iter().any(|name| first.contains(name)), "{first}");
        assert_eq!(lines.count() as u64 + 1, count + more);
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
        kib
    })
}

fn assert_bounded(few: u64, many: [u64; 3]) {
    let pairs = peaks([few; 3]).into_iter().zip(peaks(many));
    for ((base, peak), count) in pairs.zip(many) {
        assert!(peak < base + GROWTH_KIB_MAX, "{base} KiB for {few} keys, {peak} for {count}");
    }
}

#[test]
fn a_hundred_thousand_keys_take_no_more_memory_than_one_thousand() {
    assert_bounded(1_000, [100_000, 10_000, 10_000]);
}

#[test]
#[ignore = "two minutes unoptimized: cargo test -p osmo-tests --test data_many -- --ignored --nocapture"]
fn a_million_keys_take_no_more_memory_than_ten_thousand() {
    assert_bounded(10_000, [1_000_000; 3]);
}

fn objects_move_before_the_listing_has_ended(driver: &str) {
    let server = FaultServer::start("bkt").unwrap();
    for number in 0..2_000 {
        server.put(&format!("p/{number:04}"), "x");
    }
    server.page_keys(20);
    let to = tempfile::tempdir().unwrap();
    let store = StoreAccess {
        endpoint: server.url(),
        access_key: ACCESS_KEY.to_owned(),
        secret_key: SECRET_KEY.to_owned(),
    };
    let args = ["download".as_ref(), "s3://bkt/p/".as_ref(), to.path().as_os_str()];
    let output = PROGRAMS.data(&store, driver, &args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 2_000);
    let seen = server.seen();
    let is_get = |call: &Call| matches!(call, Call::GetWhole | Call::GetRange);
    let first_get = seen.iter().position(|(call, _)| is_get(call)).unwrap();
    let last_list = seen.iter().rposition(|(call, _)| *call == Call::List).unwrap();
    assert_eq!(server.requests(Call::List), 100);
    assert!(first_get < last_list, "{first_get} is not before {last_list}");
    assert_eq!(server.violations(), Vec::<String>::new());
}
