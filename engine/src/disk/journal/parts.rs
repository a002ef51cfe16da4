//! Which parts of one object are in its partial file.

use std::cell::Cell;
use std::ffi::CString;
use std::io;

use rustix::fs::{AtFlags, FlockOperation};

use super::log::Log;
use super::record::{Name, Record};
use super::{Journal, Standing};
use crate::digest::KeptSum;
use crate::ring::Fd;

/// How an object is cut and digested; parts of another cut say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOf {
    /// The object.
    pub name: Name,
    /// Its size.
    pub bytes: u64,
    /// Bytes of each part but the last.
    pub part_bytes: u64,
    /// What [`KeptSum`] is, in the caller's words.
    pub sums: u8,
}

/// A part that an earlier run has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptPart {
    /// From 1.
    pub number: u32,
    /// Its digest.
    pub sum: KeptSum,
    /// Whether the bytes are known to be in the file.
    pub standing: Standing,
}

/// The log of one object's parts, beside its partial file; it goes with its drop,
/// unless it is kept.
pub struct PartLog {
    log: Log,
    folder: Fd,
    name: CString,
    recorded: Cell<u64>,
    stays: Cell<bool>,
    gone: Cell<bool>,
}

impl PartLog {
    pub(super) fn open(folder: &Fd, name: CString) -> io::Result<Self> {
        let log = Log::open(&**folder, &name)?;
        // A listing may name a key twice: the other one has it until it is done.
        rustix::fs::flock(log.file(), FlockOperation::NonBlockingLockExclusive)?;
        if rustix::fs::fstat(log.file())?.st_nlink == 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        let folder = Fd::clone(folder);
        let (stays, gone) = (Cell::new(false), Cell::new(false));
        Ok(Self { log, folder, name, recorded: Cell::new(0), stays, gone })
    }

    /// Hands every part of `cut` that is recorded to `see`; the latest word on a
    /// part comes last. Blocks for a page or two.
    ///
    /// # Errors
    /// The disk's own.
    pub fn each(
        &self,
        journal: &Journal,
        cut: &CutOf,
        mut see: impl FnMut(KeptPart),
    ) -> io::Result<()> {
        self.log.trim()?;
        let mut ours = false;
        self.log.each(|record| match record {
            Record::Object { name, bytes, part_bytes, sums } => {
                ours = *cut == CutOf { name, bytes, part_bytes, sums };
            }
            Record::Part { stamp, number, sum } if ours => {
                let standing = journal.standing(stamp);
                see(KeptPart { number, sum, standing });
            }
            _ => {}
        })
    }

    /// Forgets every part, and begins with those of `cut`.
    ///
    /// # Errors
    /// The disk's own.
    pub fn begin(&self, cut: &CutOf) -> io::Result<()> {
        let CutOf { name, bytes, part_bytes, sums } = *cut;
        self.log.clear()?;
        self.recorded.set(0);
        self.log.append(&Record::Object { name, bytes, part_bytes, sums })
    }

    /// A part's bytes are in the file. A journal that cannot be written is given
    /// up, and the transfer goes on without.
    pub fn record(&self, journal: &Journal, number: u32, sum: KeptSum) {
        let appended = journal.append(&self.log, |stamp| Record::Part { stamp, number, sum });
        self.recorded.set(self.recorded.get() + u64::from(appended));
    }

    /// A part of an earlier run is still there.
    pub fn kept(&self) {
        self.recorded.set(self.recorded.get() + 1);
    }

    /// Whether another run has something to go on with.
    pub fn is_worth_keeping(&self) -> bool {
        self.recorded.get() > 0
    }

    /// Leaves the log for another run.
    pub fn keep(&self) {
        self.stays.set(true);
    }

    /// Removes the log.
    pub fn remove(&self) {
        if !self.gone.replace(true) {
            let _ = rustix::fs::unlinkat(&*self.folder, &self.name, AtFlags::empty());
        }
    }
}

impl Drop for PartLog {
    fn drop(&mut self) {
        if !self.stays.get() {
            self.remove();
        }
    }
}
