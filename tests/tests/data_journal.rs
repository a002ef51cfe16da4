//! What a download records, and what the next one makes of it: nothing that is
//! known to be there is fetched again, nothing that is wrong is believed.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use osmo_tests::interpose::{Fault, Harm, Hold, Interposer, Request};
use osmo_tests::program::Programs;
use osmo_tests::store::TestStore;
use osmo_tests::{tree, under_both_drivers};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

under_both_drivers!(
    what_a_killed_download_has_is_not_fetched_again,
    an_interrupted_download_goes_on,
    a_failed_download_asks_only_for_what_failed,
    after_a_power_loss_bytes_are_looked_at,
    a_file_that_was_touched_is_fetched_again,
    another_version_is_begun_anew,
    a_journal_that_is_damaged_costs_bytes_and_no_more,
    #[ignore = "minutes; see CONTRIBUTING.md"]
    a_journal_that_is_damaged_at_any_byte_costs_bytes_and_no_more,
    without_a_journal_nothing_is_kept,
    the_same_download_at_the_same_time_does_without,
    what_nobody_comes_back_for_goes,
    a_planted_link_leads_nowhere,
    a_destination_that_goes_away_is_named,
    a_journal_that_goes_away_is_no_harm,
);

const PART: u64 = 8 << 20;
const LARGE_BYTES: u64 = 3 * PART + 4321;
const SMALL_BYTES: u64 = 700_001;
const SECOND: &str = "bytes=8388608-16777215";
const THIRD: &str = "bytes=16777216-25165823";
const RECORD: u64 = 64;

/// What the proxy does at the moment.
#[derive(Clone, Default)]
enum Script {
    #[default]
    Nothing,
    /// The second part of the large object stops in its middle.
    Hold(Hold),
    /// Who asks for this is refused.
    Refuse(&'static str),
}

impl Script {
    fn fault(&self, request: &Request) -> Fault {
        match self {
            Self::Hold(hold) if request.range.as_deref() == Some(SECOND) => {
                Fault::Down(1_000_000, Harm::Hold(hold.clone()))
            }
            Self::Refuse(key) if request.is("GET", key) => Fault::Answer(403, "AccessDenied"),
            _ => Fault::None,
        }
    }
}

/// A store with `p/large`, which is fetched in four parts, and two files that are
/// fetched in one; the same tree beside it; a proxy before it; and a destination.
struct Scene {
    proxy: Interposer,
    script: Arc<Mutex<Script>>,
    store: TestStore,
    source: tempfile::TempDir,
    to: tempfile::TempDir,
    driver: String,
}

impl Scene {
    fn new(driver: &str) -> Self {
        let source = tempfile::tempdir().unwrap();
        tree::random_file(&source.path().join("large"), LARGE_BYTES, 1).unwrap();
        tree::random_file(&source.path().join("small"), SMALL_BYTES, 2).unwrap();
        fs::write(source.path().join("tiny"), "tiny").unwrap();
        let store = TestStore::start("bkt").unwrap();
        store.put_tree("bkt", "p/", source.path()).unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let asked = Arc::clone(&script);
        let proxy = Interposer::start(store.access(), move |request| {
            let script = asked.lock().unwrap().clone();
            script.fault(request)
        })
        .unwrap();
        let (to, driver) = (tempfile::tempdir().unwrap(), driver.to_owned());
        Self { proxy, script, store, source, to, driver }
    }

    /// A scene whose download was killed when everything but the second part was
    /// there.
    fn killed(driver: &str) -> Self {
        let scene = Self::new(driver);
        let (hold, mut child) = scene.held();
        child.kill().unwrap();
        child.wait().unwrap();
        hold.release();
        assert!(!scene.path("large").exists());
        scene
    }

    /// A download that waits for its second part, and has everything else.
    fn held(&self) -> (Hold, Child) {
        let hold = Hold::default();
        self.set(Script::Hold(hold.clone()));
        let child = self.start(&[]);
        hold.reached();
        let parts = || fs::metadata(self.parts()).unwrap().len() == 4 * RECORD;
        wait_for(|| self.path("small").exists() && self.path("tiny").exists() && parts());
        self.set(Script::Nothing);
        (hold, child)
    }

    fn set(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.to.path().join(name)
    }

    /// The one name of the journal that ends so.
    fn journal(&self, is: impl Fn(&str) -> bool) -> PathBuf {
        let found: Vec<_> =
            journal(self.to.path()).into_iter().filter(|path| is(name(path))).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    fn runs(&self) -> PathBuf {
        self.journal(|name| name.matches('-').count() == 1)
    }

    fn bytes(&self) -> PathBuf {
        self.journal(|name| name.matches('-').count() == 2 && !name.ends_with(".p"))
    }

    fn parts(&self) -> PathBuf {
        self.journal(|name| name.ends_with(".p"))
    }

    fn start(&self, flags: &[&str]) -> Child {
        self.start_to(self.to.path(), "s3://bkt/p/", flags)
    }

    fn start_to(&self, to: &Path, remote: &str, flags: &[&str]) -> Child {
        let mut args: Vec<&OsStr> =
            vec!["download".as_ref(), remote.as_ref(), to.as_os_str(), "--json".as_ref()];
        args.extend(flags.iter().map(OsStr::new));
        let mut command = PROGRAMS.data(self.proxy.access(), &self.driver, &args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The same download once more, which succeeds and leaves nothing; what it
    /// asked for (key, range), and the bytes that it did not have to.
    fn again(&self) -> (Vec<(String, Option<String>)>, u64) {
        let before = self.proxy.seen().len();
        let output = self.start(&[]).wait_with_output().unwrap();
        let report = succeeded(&output);
        self.assert_whole();
        let gets = |request: &Request| {
            let key = request.target.split('?').next().unwrap_or_default().rsplit('/').next();
            let is_object = request.method == "GET" && !request.target.contains("list-type");
            is_object.then(|| (key.unwrap_or_default().to_owned(), request.range.clone()))
        };
        let mut asked: Vec<_> = self.proxy.seen()[before..].iter().filter_map(gets).collect();
        asked.sort();
        (asked, report["bytes_resumed"].as_u64().unwrap())
    }

    fn assert_whole(&self) {
        let sums = |at: &Path| tree::sha256sums(at).unwrap();
        assert_eq!(sums(self.to.path()), sums(self.source.path()));
        assert!(!self.path(".osmo-partial").exists(), "something was left");
    }
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn journal(to: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(to.join(".osmo-partial")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).filter(|path| name(path).starts_with("j-")).collect()
}

fn succeeded(output: &Output) -> serde_json::Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn wait_for(there: impl Fn() -> bool) {
    let started = Instant::now();
    while !there() {
        assert!(started.elapsed() < Duration::from_secs(60), "it did not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn asked(wanted: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
    wanted.iter().map(|(key, range)| ((*key).to_owned(), range.map(str::to_owned))).collect()
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

fn what_a_killed_download_has_is_not_fetched_again(driver: &str) {
    let scene = Scene::killed(driver);
    let (gets, resumed) = scene.again();
    assert_eq!(gets, asked(&[("large", Some(SECOND))]));
    assert_eq!(resumed, LARGE_BYTES - PART + SMALL_BYTES + 4);
    // It succeeded, so that nothing of it is known any more.
    let (gets, resumed) = scene.again();
    assert_eq!((gets.len(), resumed), (6, 0));
}

fn an_interrupted_download_goes_on(driver: &str) {
    let scene = Scene::new(driver);
    let (hold, child) = scene.held();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(3));
    hold.release();
    assert_eq!(scene.again().0, asked(&[("large", Some(SECOND))]));
}

fn a_failed_download_asks_only_for_what_failed(driver: &str) {
    let scene = Scene::new(driver);
    scene.set(Script::Refuse("/p/small"));
    let output = scene.start(&[]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(journal(scene.to.path()), [scene.runs()]);
    scene.set(Script::Nothing);
    let (gets, resumed) = scene.again();
    assert_eq!((gets, resumed), (asked(&[("small", None)]), LARGE_BYTES + 4));
}

/// The first record names the boot: damaged, it is as if the machine had another
/// one since.
fn after_a_power_loss_bytes_are_looked_at(driver: &str) {
    let scene = Scene::killed(driver);
    flip(&scene.runs(), 20);
    let (gets, resumed) = scene.again();
    assert_eq!(gets, asked(&[("large", Some(SECOND))]));
    assert_eq!(resumed, LARGE_BYTES - PART + SMALL_BYTES + 4);

    let scene = Scene::killed(driver);
    flip(&scene.runs(), 20);
    flip(&scene.bytes(), 2 * PART + 77);
    // The same size, time and inode, and other bytes.
    let small = scene.path("small");
    let modified = fs::metadata(&small).unwrap().modified().unwrap();
    flip(&small, 99);
    OpenOptions::new().write(true).open(&small).unwrap().set_modified(modified).unwrap();
    let (gets, _) = scene.again();
    assert_eq!(
        gets,
        asked(&[("large", Some(THIRD)), ("large", Some(SECOND)), ("small", None)]),
        "what was lost is fetched again"
    );
}

fn a_file_that_was_touched_is_fetched_again(driver: &str) {
    let scene = Scene::killed(driver);
    fs::write(scene.path("tiny"), "TINY").unwrap();
    assert_eq!(scene.again().0, asked(&[("large", Some(SECOND)), ("tiny", None)]));
}

fn another_version_is_begun_anew(driver: &str) {
    let scene = Scene::killed(driver);
    tree::random_file(&scene.source.path().join("large"), LARGE_BYTES, 3).unwrap();
    scene.store.put_tree("bkt", "p/", scene.source.path()).unwrap();
    let (gets, resumed) = scene.again();
    assert_eq!(gets.iter().filter(|(key, _)| key == "large").count(), 4);
    assert!(resumed < PART, "{resumed}");
}

/// One killed download, whose journal is damaged at each of `places`; every one of
/// them then comes to the right end.
fn damaged(driver: &str, step: usize) {
    let scene = Scene::killed(driver);
    let kept = tempfile::tempdir_in(scene.to.path().parent().unwrap()).unwrap();
    let files = [scene.runs(), scene.parts()].map(|path| (fs::read(&path).unwrap(), path));
    let (bytes, large) = (scene.bytes(), kept.path().join("bytes"));
    fs::copy(&bytes, &large).unwrap();
    let mut tried = 0;
    for (number, (content, path)) in files.iter().enumerate() {
        for at in (number..content.len()).step_by(step) {
            for cut in [false, true] {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                files.iter().for_each(|(content, path)| fs::write(path, content).unwrap());
                fs::copy(&large, &bytes).unwrap();
                let _ = fs::remove_file(scene.path("large"));
                match cut {
                    true => fs::write(path, &content[..at]).unwrap(),
                    false => flip(path, at as u64),
                }
                scene.again();
                tried += 1;
            }
        }
    }
    eprintln!("{driver}: {tried} damaged journals");
}

fn a_journal_that_is_damaged_costs_bytes_and_no_more(driver: &str) {
    damaged(driver, 41);
}

fn a_journal_that_is_damaged_at_any_byte_costs_bytes_and_no_more(driver: &str) {
    damaged(driver, 1);
}

fn without_a_journal_nothing_is_kept(driver: &str) {
    let scene = Scene::new(driver);
    let hold = Hold::default();
    scene.set(Script::Hold(hold.clone()));
    let mut child = scene.start(&["--no-journal"]);
    hold.reached();
    wait_for(|| scene.path("small").exists() && scene.path("tiny").exists());
    assert!(journal(scene.to.path()).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    scene.set(Script::Nothing);
    hold.release();
    let (gets, resumed) = scene.again();
    assert_eq!((gets.len(), resumed), (6, 0));

    let scene = Scene::killed(driver);
    let output = scene.start(&["--no-journal"]).wait_with_output().unwrap();
    assert_eq!(succeeded(&output)["bytes_resumed"], 0, "what is there is not looked at");
}

fn the_same_download_at_the_same_time_does_without(driver: &str) {
    let scene = Scene::new(driver);
    let (hold, child) = scene.held();
    let output = scene.start(&[]).wait_with_output().unwrap();
    assert_eq!(succeeded(&output)["bytes_resumed"], 0);
    hold.release();
    succeeded(&child.wait_with_output().unwrap());
    scene.assert_whole();
}

fn what_nobody_comes_back_for_goes(driver: &str) {
    let scene = Scene::killed(driver);
    let another = || {
        let one = scene.start_to(scene.to.path(), "s3://bkt/p/tiny", &[]);
        succeeded(&one.wait_with_output().unwrap());
    };
    another();
    assert_eq!(journal(scene.to.path()).len(), 3, "it may come back");
    let touched = Command::new("touch")
        .args(["-d", "8 days ago"])
        .args(journal(scene.to.path()))
        .status()
        .unwrap();
    assert!(touched.success());
    another();
    assert!(!scene.path(".osmo-partial").exists());
}

fn a_planted_link_leads_nowhere(driver: &str) {
    let scene = Scene::killed(driver);
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    for planted in [scene.bytes(), scene.parts(), scene.runs()] {
        fs::remove_file(&planted).unwrap();
        symlink(&victim, &planted).unwrap();
    }
    let output = scene.start(&[]).wait_with_output().unwrap();
    succeeded(&output);
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    let sums = |at: &Path| tree::sha256sums(at).unwrap();
    assert_eq!(sums(scene.to.path()), sums(scene.source.path()));
}

fn a_destination_that_goes_away_is_named(driver: &str) {
    let scene = Scene::new(driver);
    let to = scene.to.path().join("dest");
    fs::create_dir(&to).unwrap();
    let hold = Hold::default();
    scene.set(Script::Hold(hold.clone()));
    let child = scene.start_to(&to, "s3://bkt/p/", &[]);
    hold.reached();
    wait_for(|| to.join("small").exists() && to.join("tiny").exists());
    fs::remove_dir_all(&to).unwrap();
    scene.set(Script::Nothing);
    hold.release();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("large") && !said.contains("panicked"), "{said}");
    assert!(!to.exists(), "it was made again");
}

fn a_journal_that_goes_away_is_no_harm(driver: &str) {
    let scene = Scene::new(driver);
    let (hold, child) = scene.held();
    for path in [scene.runs(), scene.parts()] {
        fs::remove_file(path).unwrap();
    }
    hold.release();
    succeeded(&child.wait_with_output().unwrap());
    scene.assert_whole();
}
