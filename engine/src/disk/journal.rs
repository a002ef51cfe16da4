//! What a job has done, on disk, so that the same job goes on where a killed
//! one stopped.
//!
//! ```text
//!  .osmo-partial/j-<job>              runs, objects that are done, commits
//!  .osmo-partial/j-<job>-<object>     bytes of a large object, in their places
//!  .osmo-partial/j-<job>-<object>.p   its parts that are in there
//! ```
//!
//! Every file but the bytes is a row of 64-byte records that stand for
//! themselves, appended and never changed. A record follows what it speaks of:
//! a part's comes after its last byte was written, an object's before its
//! rename, with the inode that the rename keeps. Hence a record that is lost
//! costs a transfer, and one that is there is true as long as the page cache
//! is. Through a power loss it is true if a commit followed it, and otherwise
//! doubted: the bytes are read and compared with the digest that it carries.
//!
//! It is no lock and no list of what the destination should hold. A job of the
//! same name that runs at the same time goes without. A journal that cannot be
//! written is given up with a remark, and the job goes on.
//!
//! Invariants: names are digests of what they stand for, entity tag included,
//! so that bytes of another version are never taken; memory does not grow with
//! objects. Limits: journals that nobody has touched for [`KEPT_FOR`] go with
//! the next job in their folder.

mod done;
#[cfg(feature = "fuzz")]
mod fuzz;
mod log;
mod parts;
mod record;
mod trust;

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FlockOperation};
use sha2::{Digest as _, Sha256};

use crate::disk::fault;
use crate::error::{Error, Result};
use crate::path::PARTIAL_FOLDER;
use crate::ring::Fd;

use done::DoneTable;
use log::Log;
use record::{Record, Stamp};
use trust::Trust;

#[cfg(feature = "fuzz")]
pub(crate) use fuzz::journal as fuzz;
pub use parts::{CutOf, KeptPart, PartLog};
pub use record::{Look, Name};

/// How long an untouched journal waits for its job.
pub const KEPT_FOR: Duration = Duration::from_hours(7 * 24);

/// Opening races with another job's removal of the finished journal.
const OPEN_ATTEMPTS: u32 = 16;
const PREFIX: &str = "j-";

/// Whether `name` in the partial folder belongs to a journal.
pub(super) fn is_journal(name: &CStr) -> bool {
    name.to_bytes().starts_with(PREFIX.as_bytes())
}

/// The name that stands for `fields`.
pub fn name_of(fields: &[&[u8]]) -> Name {
    let mut digest = Sha256::new();
    for field in fields {
        digest.update((field.len() as u64).to_le_bytes());
        digest.update(field);
    }
    let digest: [u8; 32] = digest.finalize().into();
    *digest.first_chunk().unwrap_or(&[0; 16])
}

/// What a record is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is so.
    Sure,
    /// A power loss may have undone it.
    Doubted,
}

/// One job's journal; shared by its threads.
pub struct Journal {
    folder: OwnedFd,
    stem: String,
    log: Log,
    trust: Trust,
    done: Option<DoneTable>,
    run: u32,
    epoch: AtomicU32,
    /// Something was recorded since the last commit.
    fresh: AtomicBool,
    /// Some object is done.
    has_done: AtomicBool,
    broken: Mutex<Option<io::Error>>,
    is_broken: AtomicBool,
}

impl Journal {
    /// Opens the journal of the job `job` in the partial folder `folder`, as the
    /// run `run`; `None` where another process has it. Blocks.
    ///
    /// # Errors
    /// The disk's own.
    pub(super) fn open(folder: OwnedFd, job: &Name, run: u32) -> Result<Option<Self>> {
        let stem = format!("{PREFIX}{}", hex(&job[..8]));
        Self::try_open(folder, &stem, run)
            .map_err(|error| fault("open the journal", &format!("{PARTIAL_FOLDER}/{stem}"), error))
    }

    fn try_open(folder: OwnedFd, stem: &str, run: u32) -> io::Result<Option<Self>> {
        let name = CString::new(stem)?;
        for _ in 0..OPEN_ATTEMPTS {
            let log = Log::open(&folder, &name)?;
            if rustix::fs::flock(log.file(), FlockOperation::NonBlockingLockExclusive).is_err() {
                return Ok(None);
            }
            if rustix::fs::fstat(log.file())?.st_nlink > 0 {
                return Self::with(log, folder, stem, run).map(Some);
            }
        }
        Ok(None)
    }

    fn with(log: Log, folder: OwnedFd, stem: &str, run: u32) -> io::Result<Self> {
        log.trim()?;
        let boot = boot();
        log.append(&Record::Run { run, boot })?;
        let mut trust = Trust::new(boot);
        log.each(|record| trust.see(&record))?;
        let done = DoneTable::of(&log, &folder)?;
        Ok(Self {
            has_done: AtomicBool::new(done.is_some()),
            folder,
            stem: stem.to_owned(),
            log,
            trust,
            done,
            run,
            epoch: AtomicU32::new(0),
            fresh: AtomicBool::new(false),
            broken: Mutex::default(),
            is_broken: AtomicBool::new(false),
        })
    }

    /// Whether an earlier run has completed anything.
    pub fn knows_any(&self) -> bool {
        self.done.is_some()
    }

    /// Whether an earlier run has completed `name`, as a file that looks like
    /// that.
    pub fn is_done(&self, name: &Name, look: &Look) -> Option<Standing> {
        let (stamp, then) = self.done.as_ref()?.get(name).ok()??;
        (then == *look).then(|| self.standing(stamp))
    }

    /// An object is complete and looks like that. To be said before the rename:
    /// who is killed in between has both names to find it under.
    pub fn done(&self, name: Name, look: Look) {
        let done = |stamp| Record::Done { stamp, name, look };
        if self.append(&self.log, done) {
            self.has_done.store(true, Ordering::Relaxed);
        }
    }

    /// The names of a large object's file and of the log of its parts.
    ///
    /// # Errors
    /// The disk's own.
    pub fn parts(&self, folder: &Fd, object: &Name) -> io::Result<(CString, PartLog)> {
        let stem = format!("{}-{}", self.stem, hex(object));
        let log = PartLog::open(folder, CString::new(format!("{stem}.p"))?)?;
        Ok((CString::new(stem)?, log))
    }

    /// Whether something was recorded since the last commit.
    pub fn is_fresh(&self) -> bool {
        self.fresh.load(Ordering::Acquire)
    }

    /// `sync` makes data and records durable, and what was recorded so far counts
    /// as durable from then on. Blocks.
    ///
    /// # Errors
    /// Those of `sync`.
    pub fn commit(&self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        self.fresh.store(false, Ordering::Release);
        // Whoever reads the old number has written its data already.
        let epoch = self.epoch.fetch_add(1, Ordering::AcqRel);
        #[cfg(feature = "mutants")]
        let epoch = epoch + u32::from(crate::sim::plants(crate::sim::Mutant::JournalFirst));
        sync()?;
        let stamp = Stamp { run: self.run, epoch };
        self.told(self.log.append(&Record::Durable { stamp }));
        Ok(())
    }

    /// The job is complete: nothing of it is left.
    pub fn remove(&self) {
        self.files(|name| {
            let _ = rustix::fs::unlinkat(&self.folder, name, AtFlags::empty());
        });
    }

    /// The job ended before it was complete. A journal that says nothing goes.
    pub fn leave(&self) {
        let mut files = 0;
        self.files(|_| files += 1);
        if files <= 1 && !self.has_done.load(Ordering::Relaxed) {
            self.remove();
        }
    }

    /// Its own file and those of unfinished objects.
    fn files(&self, mut see: impl FnMut(&CStr)) {
        let Ok(names) = Dir::read_from(&self.folder) else { return };
        for entry in names.flatten() {
            let name = entry.file_name();
            let ours = name.to_bytes().strip_prefix(self.stem.as_bytes());
            if ours.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"-")) {
                see(name);
            }
        }
    }

    /// Why nothing is recorded any more.
    pub fn broken(&self) -> Option<Error> {
        let error = self.broken.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(fault("write the journal", &format!("{PARTIAL_FOLDER}/{}", self.stem), error))
    }

    fn standing(&self, stamp: Stamp) -> Standing {
        if self.trust.holds(stamp) { Standing::Sure } else { Standing::Doubted }
    }

    /// Appends what `record` makes of the stamp of this moment; whether it did.
    fn append(&self, log: &Log, record: impl FnOnce(Stamp) -> Record) -> bool {
        if self.is_broken.load(Ordering::Relaxed) {
            return false;
        }
        let stamp = Stamp { run: self.run, epoch: self.epoch.load(Ordering::Acquire) };
        let appended = self.told(log.append(&record(stamp)));
        self.fresh.store(true, Ordering::Release);
        appended
    }

    fn told(&self, appended: io::Result<()>) -> bool {
        let Err(error) = appended else { return true };
        // Half a record may be there, and whatever follows would not be read.
        self.is_broken.store(true, Ordering::Relaxed);
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        false
    }
}

/// The number that the kernel draws at each boot; another one each time where it
/// cannot be read.
fn boot() -> Name {
    #[cfg(feature = "sim")]
    if let Some(world) = crate::sim::world() {
        return name_of(&[&world.boot().to_le_bytes()]);
    }
    let drawn = std::fs::read("/proc/sys/kernel/random/boot_id")
        .or_else(|_| std::fs::read("/proc/sys/kernel/random/uuid"));
    name_of(&[&drawn.unwrap_or_default()])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
