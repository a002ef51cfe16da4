//! A store with a script, an engine with little patience, and a job.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use osmo_engine::config::{Access, ChecksumChoice};
use osmo_engine::report::{JobEvent, Report};
use osmo_engine::{
    Backoff, CheckJob, DeleteJob, DownloadJob, Engine, EngineConfig, ErrorKind, IoChoice, Job,
    Patience, Result, RetryPolicy, UploadJob, Waits,
};
use osmo_tests::fault_server::{ACCESS_KEY, FaultServer, REGION, SECRET_KEY};
use osmo_tests::tree;

/// Longer than any answer takes on a busy machine.
const SILENCE_MS: u64 = 10_000;

/// One request each way.
pub(crate) const SMALL_BYTES: u64 = 100_003;
/// One request that does not fit its buffers, so that its checksum is not known
/// before it goes.
pub(crate) const STREAMED_BYTES: u64 = (1 << 20) + 4_321;
/// Two ranges on the way down.
pub(crate) const RANGED_BYTES: u64 = (8 << 20) + 4_321;
/// Two parts on the way up.
pub(crate) const PARTED_BYTES: u64 = (16 << 20) + 4_321;

/// Fewer attempts than by default, close together. Nothing but silence is met
/// by `silence_ms`, so a busy machine does not decide a case.
pub(crate) fn waits(silence_ms: u64) -> Waits {
    let ms = Duration::from_millis;
    let backoff = Backoff { base: ms(2), cap: ms(10) };
    Waits {
        patience: Patience {
            resolve: ms(10_000),
            connect: ms(10_000),
            first_byte: ms(silence_ms),
            stall: ms(silence_ms),
            glance: ms(20),
            control: ms(4 * silence_ms),
            ..Patience::DEFAULT
        },
        retry: RetryPolicy {
            attempts_max: 3,
            attempts_throttled_max: 3,
            attempts_total_max: 20,
            backoff,
            backoff_throttled: backoff,
            ..RetryPolicy::default()
        },
        abort: ms(8 * silence_ms),
    }
}

/// An object's bytes and their checksum, base64.
type Known = (Arc<Vec<u8>>, String);

/// Files with random content, made once a process by Python.
pub(crate) struct Sources {
    folder: tempfile::TempDir,
    known: Mutex<BTreeMap<String, Known>>,
    sums: Mutex<BTreeMap<String, String>>,
}

impl Sources {
    pub(crate) fn get() -> &'static Self {
        static SOURCES: OnceLock<Sources> = OnceLock::new();
        SOURCES.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let file = |name: &str, bytes, seed| {
                tree::random_file(&folder.path().join(name), bytes, seed).unwrap();
            };
            file("small/target", SMALL_BYTES, 1);
            file("small/other", 5_000, 2);
            file("streamed/target", STREAMED_BYTES, 7);
            file("streamed/other", 5_000, 8);
            file("ranged/target", RANGED_BYTES, 3);
            file("ranged/other", 5_000, 4);
            file("parted/target", PARTED_BYTES, 5);
            file("parted/other", 5_000, 6);
            let config = format!(
                "auth: {{data: {{s3://bkt: {{access_key_id: {ACCESS_KEY}, access_key: \
                 {SECRET_KEY}, region: {REGION}}}}}}}"
            );
            std::fs::write(folder.path().join("config.yaml"), config).unwrap();
            Self { folder, known: Mutex::default(), sums: Mutex::default() }
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `sha256sum` of the files in the folder `name`.
    pub(crate) fn sums(&self, name: &str) -> String {
        let mut sums = self.sums.lock().unwrap();
        let summed = || tree::sha256sums(&self.path(name)).unwrap();
        sums.entry(name.to_owned()).or_insert_with(summed).clone()
    }

    /// A file's bytes, and their CRC64NVME.
    pub(crate) fn bytes(&self, name: &str) -> (Arc<Vec<u8>>, String) {
        let mut known = self.known.lock().unwrap();
        let read = || {
            let bytes = std::fs::read(self.path(name)).unwrap();
            let crc = FaultServer::crc64nvme(&bytes);
            (Arc::new(bytes), crc)
        };
        known.entry(name.to_owned()).or_insert_with(read).clone()
    }
}

/// A server with an engine before it.
pub(crate) struct World {
    pub(crate) server: FaultServer,
    io: IoChoice,
    waits: Waits,
    checksum: ChecksumChoice,
    notes: Arc<Mutex<Vec<String>>>,
}

impl World {
    pub(crate) fn new(driver: &str) -> Self {
        Self {
            server: FaultServer::start("bkt").unwrap(),
            io: if driver == "uring" { IoChoice::Uring } else { IoChoice::Epoll },
            waits: waits(SILENCE_MS),
            checksum: ChecksumChoice::Auto,
            notes: Arc::default(),
        }
    }

    pub(crate) fn with_waits(mut self, waits: Waits) -> Self {
        self.waits = waits;
        self
    }

    pub(crate) fn with_checksum(mut self, checksum: ChecksumChoice) -> Self {
        self.checksum = checksum;
        self
    }

    /// Stores the files below `name` under `p/`.
    pub(crate) fn hold(&self, name: &str) {
        for file in ["target", "other"] {
            let (bytes, crc) = Sources::get().bytes(&format!("{name}/{file}"));
            self.server.share(&format!("p/{file}"), bytes, &crc);
        }
    }

    /// Runs `job` in an engine that is gone afterwards, threads and all.
    fn run(&self, job: Job) -> Result<Report> {
        let access = Access {
            endpoint_url: Some(self.server.url()),
            config_file: Some(Sources::get().path("config.yaml")),
            checksum: self.checksum,
            ..Access::default()
        };
        let (io, waits) = (self.io, self.waits);
        let config = EngineConfig { io, access, waits, shards: Some(1), ..EngineConfig::default() };
        let engine = Engine::start(config)?;
        engine.submit(job).wait()
    }

    fn observer(&self) -> osmo_engine::job::Observer {
        let notes = Arc::clone(&self.notes);
        Arc::new(move |event| {
            if let JobEvent::Note(note) = event {
                notes.lock().unwrap().push(note);
            }
        })
    }

    pub(crate) fn download(&self, remote: &str, to: &Path) -> Result<Report> {
        self.run(Job::Download(DownloadJob {
            remote: remote.to_owned(),
            local: to.to_owned(),
            observer: Some(self.observer()),
            ..DownloadJob::default()
        }))
    }

    /// Uploads what is in the source folder `name` to `up/`.
    pub(crate) fn upload(&self, name: &str) -> Result<Report> {
        self.upload_all(&Sources::get().path(name), |_| {})
    }

    /// Uploads what is in `from` to `up/`, in a way of `how`'s.
    pub(crate) fn upload_all(
        &self,
        from: &Path,
        how: impl FnOnce(&mut UploadJob),
    ) -> Result<Report> {
        let mut job = UploadJob {
            remote: "s3://bkt/up".to_owned(),
            local: vec![from.join("*")],
            observer: Some(self.observer()),
            ..UploadJob::default()
        };
        how(&mut job);
        self.run(Job::Upload(job))
    }

    pub(crate) fn delete(&self, remote: &str) -> Result<Report> {
        self.run(Job::Delete(DeleteJob {
            remote: remote.to_owned(),
            observer: Some(self.observer()),
            ..DeleteJob::default()
        }))
    }

    /// Whether the bucket answers.
    pub(crate) fn check(&self) -> Result<Report> {
        self.run(Job::Check(CheckJob { remote: "s3://bkt/p/".to_owned(), ..CheckJob::default() }))
    }

    /// Remarks on the jobs so far.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it moved.
    Done,
    /// One file failed for this reason, the other moved.
    Partial(ErrorKind),
    /// The job as a whole failed.
    Failed(ErrorKind),
}

impl End {
    /// With the sentence, for a message.
    pub(crate) fn of(ended: &Result<Report>) -> (Self, String) {
        match ended {
            Err(error) => (Self::Failed(error.kind()), error.to_string()),
            Ok(report) => match report.failures.first() {
                None => (Self::Done, String::new()),
                Some(failure) => {
                    let sentence = format!("{}: {}", failure.name, failure.reason);
                    (Self::Partial(failure.kind), sentence)
                }
            },
        }
    }
}

/// Open descriptors of this process.
pub(crate) fn descriptors() -> Vec<String> {
    let mut open: Vec<_> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .map(|target| target.display().to_string())
        .filter(|target| !target.contains("/proc/"))
        .collect();
    open.sort_unstable();
    open
}
