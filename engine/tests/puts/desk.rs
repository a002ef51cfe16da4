//! Files, an engine under each driver, and what it says.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use osmo_engine::config::{Access, ChecksumChoice};
use osmo_engine::job::{IfExists, StoreOptions};
use osmo_engine::{Engine, EngineConfig, IoChoice, Job, JobEvent, Report, UploadJob};

use crate::store::{Rules, Store};

const ENTRY: &str =
    "auth: {data: {s3://bkt: {access_key_id: id, access_key: sesame-open, region: eu-west-1}}}";

/// A file of one request, and its size: more than what buffers hold.
pub(crate) const MIDDLE: (&str, usize) = ("middle", 1_500_000);
/// One that is held.
pub(crate) const SMALL: (&str, usize) = ("small", 1_000);
/// One of two parts.
pub(crate) const LARGE: (&str, usize) = ("large", (16 << 20) + 5);

/// An engine before a store.
pub(crate) struct Desk {
    engine: Engine,
    pub(crate) store: Store,
    folder: tempfile::TempDir,
}

/// How a job ended.
pub(crate) struct Ended {
    pub(crate) report: Report,
    pub(crate) notes: Vec<String>,
}

impl Ended {
    /// Files by the checksum that confirmed them.
    pub(crate) fn verified(&self) -> Vec<(&str, u64)> {
        self.report.verification.verified.iter().map(|(name, files)| (*name, *files)).collect()
    }

    pub(crate) fn reason(&self) -> &str {
        &self.report.failures[0].reason
    }
}

pub(crate) fn bytes(name: &str, count: usize) -> Vec<u8> {
    // Repeats after a prime number of bytes, so that no two parts are alike.
    let seed = u32::from(name.as_bytes()[0]);
    let noise = |i: u32| i.wrapping_mul(2_654_435_761).wrapping_add(seed).to_le_bytes()[2];
    let mut bytes: Vec<u8> = (0..65_521).map(noise).collect();
    bytes = bytes.repeat(count / bytes.len() + 1);
    bytes.truncate(count);
    bytes
}

/// Runs a test under every driver, with a store of its own.
pub(crate) fn each_driver(rules: &Rules, choice: ChecksumChoice, test: impl Fn(&Desk)) {
    for io in [IoChoice::Uring, IoChoice::Epoll] {
        let store = Store::start(rules.clone());
        let folder = tempfile::tempdir().unwrap();
        let config_file = folder.path().join("config.yaml");
        std::fs::write(&config_file, ENTRY).unwrap();
        let access = Access {
            endpoint_url: Some(store.url()),
            config_file: Some(config_file),
            checksum: choice,
            ..Access::default()
        };
        match Engine::start(EngineConfig { io, access, ..EngineConfig::default() }) {
            Ok(engine) => test(&Desk { engine, store, folder }),
            Err(fault) if std::env::var_os("OSMO_TEST_STRICT").is_none() => skipped(&fault),
            Err(fault) => panic!("{io:?}: {fault}"),
        }
    }
}

#[allow(clippy::print_stderr, reason = "a test that does not run says so")]
fn skipped(reason: &impl std::fmt::Display) {
    eprintln!("skipped: {reason}");
}

impl Desk {
    pub(crate) fn file(&self, (name, count): (&str, usize)) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes(name, count)).unwrap();
        path
    }

    pub(crate) fn upload(&self, files: &[(&str, usize)]) -> Ended {
        self.upload_with(files, StoreOptions::default()).unwrap()
    }

    pub(crate) fn upload_with(
        &self,
        files: &[(&str, usize)],
        store: StoreOptions,
    ) -> Result<Ended, osmo_engine::Error> {
        self.run(files, UploadJob { store, ..UploadJob::default() })
    }

    /// Objects that are there stay.
    pub(crate) fn upload_new(&self, files: &[(&str, usize)]) -> Ended {
        let if_exists = IfExists::Skip;
        self.run(files, UploadJob { if_exists, ..UploadJob::default() }).unwrap()
    }

    fn run(&self, files: &[(&str, usize)], job: UploadJob) -> Result<Ended, osmo_engine::Error> {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&notes);
        let job = UploadJob {
            remote: "s3://bkt/".to_owned(),
            local: files.iter().map(|file| self.file(*file)).collect(),
            observer: Some(Arc::new(move |event| {
                if let JobEvent::Note(note) = event {
                    heard.lock().unwrap().push(note);
                }
            })),
            ..job
        };
        let report = self.engine.submit(Job::Upload(job)).wait()?;
        let notes = notes.lock().unwrap().clone();
        Ok(Ended { report, notes })
    }

    /// All files arrived as they are, and nothing else is left behind.
    pub(crate) fn arrived(&self, ended: &Ended, files: &[(&str, usize)]) {
        assert_eq!(ended.report.failures_total, 0, "{:?}", ended.report.failures);
        for (name, count) in files {
            assert!(self.store.content(name).unwrap() == bytes(name, *count), "{name}");
        }
        assert_eq!(self.store.unfinished(), 0);
    }
}
