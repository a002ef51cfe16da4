//! Uploads and downloads through the engine itself, against every store and
//! under both drivers. Trees are compared by coreutils' `sha256sum`.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use osmo_controller::run::access::StoreAccess;
use osmo_engine::config::Access;
use osmo_engine::job::{Select, StoreOptions};
use osmo_engine::report::JobEvent;
use osmo_engine::{
    DownloadJob, Engine, EngineConfig, ErrorKind, IoChoice, Job, ListJob, Report, Result, UploadJob,
};
use osmo_tests::on_stores;
use osmo_tests::stores::Place;

on_stores! {
    [embedded, seaweedfs, seaweedfs_https] => {
        a_tree_goes_up_and_comes_back_equal,
        what_cannot_be_uploaded_does_not_stop_the_rest,
    }
    [embedded, seaweedfs, seaweedfs_https, nginx, nginx_https] => {
        a_prefix_with_nothing_below_is_not_found_and_a_filter_that_keeps_nothing_is_fine,
        a_cancelled_download_leaves_whole_files_only,
        a_destination_that_is_missing_is_named,
    }
    [embedded] => { no_key_leaves_the_destination }
}

/// An engine that knows the place's store by its credential file.
fn engine(place: &Place, driver: &str) -> (Engine, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let StoreAccess { endpoint, access_key, secret_key } = place.access();
    let credentials = format!(
        "auth: {{data: {{\"s3://{}\": {{access_key_id: {access_key}, access_key: {secret_key}, \
         region: us-east-1, addressing_style: path}}}}}}\n",
        place.bucket()
    );
    let config_file = folder.path().join("config.yaml");
    fs::write(&config_file, credentials).unwrap();
    let access = Access {
        endpoint_url: Some(endpoint.clone()),
        config_file: Some(config_file),
        ca_bundle: place.ca().map(Into::into),
        ..Access::default()
    };
    let io = if driver == "uring" { IoChoice::Uring } else { IoChoice::Epoll };
    let config = EngineConfig { io, access, ..EngineConfig::default() };
    (Engine::start(config).unwrap(), folder)
}

fn download(engine: &Engine, remote: &str, local: &Path) -> Result<Report> {
    download_job(engine, remote, local, false, None)
}

fn download_job(
    engine: &Engine,
    remote: &str,
    local: &Path,
    resume: bool,
    regex: Option<&str>,
) -> Result<Report> {
    let job = DownloadJob {
        remote: remote.into(),
        local: local.into(),
        select: Select::regex(regex.map(Into::into)),
        resume,
        ..DownloadJob::default()
    };
    engine.submit(Job::Download(job)).wait()
}

fn upload(engine: &Engine, remote: &str, local: PathBuf) -> Result<Report> {
    let job = UploadJob { remote: remote.into(), local: vec![local], ..UploadJob::default() };
    engine.submit(Job::Upload(job)).wait()
}

/// `sha256sum` of every file below `folder`, sorted.
fn sums(folder: &Path) -> String {
    let script = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum";
    let output = Command::new("sh").args(["-c", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn noise(bytes: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[1]
        })
        .collect()
}

fn make_tree(folder: &Path) {
    for (name, bytes) in [
        ("empty", 0),
        ("one byte", 1),
        ("d/ü nicode %2F + & =.txt", 70_000),
        ("d/e/f/buffer", 65_536),
        ("d/e/f/held", 524_288),
        ("d/e/more than held", 524_289),
        ("large/several parts", 20_000_001),
    ] {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, noise(bytes, u32::try_from(bytes).unwrap())).unwrap();
    }
    for number in 0..50_u32 {
        fs::write(folder.join(format!("small-{number}")), noise(1_000, number)).unwrap();
    }
}

fn a_tree_goes_up_and_comes_back_equal(place: &mut Place, driver: &str) {
    let (engine, _folder) = engine(place, driver);
    let engine = &engine;
    let source = tempfile::tempdir().unwrap();
    let dest = tempfile::tempdir().unwrap();
    make_tree(source.path());
    let up = upload(engine, &place.url("p"), source.path().join("*")).unwrap().outcome().unwrap();
    assert_eq!((up.files, up.failures_total), (57, 0));
    let down = download(engine, &place.url("p"), dest.path()).unwrap().outcome().unwrap();
    assert_eq!((down.files, down.bytes), (57, up.bytes));
    assert_eq!(down.verification.unverifiable, 0, "{:?}", down.verification);
    assert_eq!(sums(dest.path()), sums(source.path()));
    assert!(!dest.path().join(".osmo-partial").exists());

    fs::write(dest.path().join("small-7"), noise(1_000, 99)).unwrap();
    fs::remove_file(dest.path().join("large/several parts")).unwrap();
    let again = download_job(engine, &place.url("p/"), dest.path(), true, None).unwrap();
    assert_eq!((again.files, again.files_skipped), (2, 55));
    assert_eq!(sums(dest.path()), sums(source.path()));

    let names = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&names);
    let list = ListJob {
        remote: place.url("p/d"),
        select: Select::default(),
        recursive: true,
        store: StoreOptions::default(),
        access: None,
        each: Arc::new(move |object| into.lock().unwrap().push(object.key)),
    };
    engine.submit(Job::List(list)).wait().unwrap();
    assert_eq!(names.lock().unwrap().len(), 4);
}

fn a_prefix_with_nothing_below_is_not_found_and_a_filter_that_keeps_nothing_is_fine(
    place: &mut Place,
    driver: &str,
) {
    let (engine, _folder) = engine(place, driver);
    let engine = &engine;
    let dest = tempfile::tempdir().unwrap();
    place.put([("ab/c", "x")]).unwrap();
    let error = download(engine, &place.url("a"), dest.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let report = download_job(engine, &place.url("ab"), dest.path(), false, Some("d")).unwrap();
    assert_eq!(report.files, 0);
    let single = download(engine, &place.url("ab/c"), dest.path()).unwrap().outcome().unwrap();
    assert_eq!(single.files, 1);
    assert_eq!(fs::read(dest.path().join("c")).unwrap(), b"x");
    assert_eq!(fs::read_dir(dest.path()).unwrap().count(), 1);
}

fn no_key_leaves_the_destination(place: &mut Place, driver: &str) {
    let (engine, _folder) = engine(place, driver);
    let engine = &engine;
    let outside = tempfile::tempdir().unwrap();
    let dest = outside.path().join("dest");
    let elsewhere = outside.path().join("elsewhere");
    fs::create_dir(&dest).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, dest.join("link")).unwrap();
    symlink(elsewhere.join("target"), dest.join("file")).unwrap();
    let long = "y".repeat(256);
    let long = format!("p/{long}");
    let bad = ["p/../../up", "p/link/x", &long].map(|key| (key, "bad"));
    place.put(bad.into_iter().chain([("p/file", "good")])).unwrap();
    let report = download(engine, &place.url("p"), &dest).unwrap();
    assert_eq!(report.failures_total, 3, "{:?}", report.failures);
    assert!(report.failures.iter().all(|failure| failure.kind == ErrorKind::KeyRefused));
    assert_eq!(report.outcome().unwrap_err().kind(), ErrorKind::Partial);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    // The link itself was replaced, not what it names.
    assert_eq!(fs::symlink_metadata(dest.join("file")).unwrap().len(), 4);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 2);
    osmo_tests::tree::assert_no_leftovers(&dest);
}

fn what_cannot_be_uploaded_does_not_stop_the_rest(place: &mut Place, driver: &str) {
    let (engine, _folder) = engine(place, driver);
    let engine = &engine;
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("c");
    fs::create_dir_all(source.join("d")).unwrap();
    fs::write(source.join("d/1.txt"), b"one").unwrap();
    symlink("d/1.txt", source.join("to-file")).unwrap();
    symlink("d", source.join("to-folder")).unwrap();
    symlink("nowhere", source.join("dangling")).unwrap();
    assert!(Command::new("mkfifo").arg(source.join("fifo")).status().unwrap().success());
    let report = upload(engine, &place.url("p"), source).unwrap();
    assert_eq!((report.files, report.failures_total), (2, 2), "{:?}", report.failures);
    let dest = tempfile::tempdir().unwrap();
    download(engine, &place.url("p"), dest.path()).unwrap().outcome().unwrap();
    assert_eq!(fs::read(dest.path().join("c/d/1.txt")).unwrap(), b"one");
    assert_eq!(fs::read(dest.path().join("c/to-file")).unwrap(), b"one");
    assert_eq!(fs::read_dir(dest.path().join("c")).unwrap().count(), 2);
}

fn a_cancelled_download_leaves_whole_files_only(place: &mut Place, driver: &str) {
    let (engine, _folder) = engine(place, driver);
    let engine = &engine;
    let large = |number: u32| (format!("p/{number}"), noise(9_000_000, number));
    place.put((0..12).map(large)).unwrap();
    let dest = tempfile::tempdir().unwrap();
    let job = DownloadJob {
        remote: place.url("p"),
        local: dest.path().into(),
        observer: Some(Arc::new(|event: JobEvent| eprintln!("{event:?}"))),
        ..DownloadJob::default()
    };
    let handle = engine.submit(Job::Download(job));
    let look = handle.watcher();
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while look().bytes_done == 0 {
        assert!(std::time::Instant::now() < give_up, "nothing moved");
        std::thread::yield_now();
    }
    handle.cancel();
    let ended = handle.wait();
    // It may have been faster than the cancellation.
    if let Err(error) = ended {
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    }
    osmo_tests::tree::assert_no_leftovers(dest.path());
    for entry in fs::read_dir(dest.path()).unwrap().map(Result::unwrap) {
        if entry.file_name() != ".osmo-partial" {
            assert_eq!(entry.metadata().unwrap().len(), 9_000_000);
        }
    }
}

fn a_destination_that_is_missing_is_named(place: &mut Place, driver: &str) {
    let (engine, _folder) = engine(place, driver);
    let engine = &engine;
    let error = download(engine, &place.url("p"), Path::new("/nonexistent/folder")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("/nonexistent/folder"), "{error}");
}
