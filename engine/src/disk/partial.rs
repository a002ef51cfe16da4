//! The folder of unfinished files, and one such file.

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::clock::Chance;
use crate::disk::fault;
use crate::disk::journal::{self, Journal, KEPT_FOR, Look, Name};
use crate::error::{Error, ErrorKind, Result};
use crate::path::PARTIAL_FOLDER;
use crate::ring::{Fd, Ring};

/// Opening races with another job's removal of the empty folder.
const OPEN_ATTEMPTS: u32 = 16;

/// `<dest>/.osmo-partial`, held with a shared lock for as long as the job
/// runs; the exclusive lock is the proof that no other job works there.
#[derive(Debug)]
pub struct PartialFolder {
    dest: OwnedFd,
    fd: OwnedFd,
    path: PathBuf,
    run: u64,
}

impl PartialFolder {
    /// Opens the destination `dest` and its partial folder; blocks.
    ///
    /// # Errors
    /// The destination is missing, no folder, or not writable.
    pub fn open(dest: &Path, chance: &mut Chance) -> Result<Self> {
        let shown = dest.display().to_string();
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let dest_fd =
            rustix::fs::open(dest, flags, Mode::empty()).map_err(|errno| match errno {
                Errno::NOENT => Error::new(
                    ErrorKind::NotFound,
                    format!("the destination {shown} does not exist; create the folder first"),
                ),
                Errno::NOTDIR => Error::new(
                    ErrorKind::Local,
                    format!("the destination {shown} is not a folder; name an existing folder"),
                ),
                other => fault("open the destination", &shown, other.into()),
            })?;
        for _ in 0..OPEN_ATTEMPTS {
            match rustix::fs::mkdirat(&dest_fd, PARTIAL_FOLDER, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(fault("write to the destination", &shown, errno.into())),
            }
            let opened = rustix::fs::openat(
                &dest_fd,
                PARTIAL_FOLDER,
                flags | OFlags::NOFOLLOW,
                Mode::empty(),
            );
            let fd = match opened {
                Ok(fd) => fd,
                Err(Errno::NOENT) => continue,
                Err(errno) => {
                    let shown = format!("{shown}/{PARTIAL_FOLDER}");
                    return Err(fault("open the folder", &shown, errno.into()));
                }
            };
            if rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok() {
                remove_leftovers(&fd);
            }
            let locked = rustix::fs::flock(&fd, FlockOperation::LockShared);
            locked.map_err(|errno| fault("lock the folder", PARTIAL_FOLDER, errno.into()))?;
            // Removed between our open and our lock: begin again.
            if rustix::fs::fstat(&fd).is_ok_and(|stat| stat.st_nlink > 0) {
                let run = chance.next_bits();
                return Ok(Self { dest: dest_fd, fd, path: dest.to_owned(), run });
            }
        }
        let sentence =
            format!("{shown}/{PARTIAL_FOLDER} keeps vanishing; is another job cleaning?");
        Err(Error::new(ErrorKind::Local, sentence))
    }

    /// The destination.
    pub fn dest(&self) -> &OwnedFd {
        &self.dest
    }

    /// The destination's name.
    pub fn dest_path(&self) -> &Path {
        &self.path
    }

    /// Names and descriptor for one shard, told apart by `shard`.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn names(&self, shard: usize) -> Result<PartialNames> {
        let fd = self.fd.try_clone();
        let fd = fd.map_err(|error| fault("share the folder", PARTIAL_FOLDER, error))?;
        let stem = format!("{:016x}-{shard}", self.run);
        Ok(PartialNames { fd: Rc::new(fd), stem, next: Cell::new(0) })
    }

    /// The journal of the job `job` in this destination; `None` where another
    /// process has it. Blocks.
    ///
    /// # Errors
    /// The disk's own.
    pub fn journal(&self, job: &Name) -> Result<Option<Journal>> {
        let fd = self.fd.try_clone();
        let fd = fd.map_err(|error| fault("share the folder", PARTIAL_FOLDER, error))?;
        let run = u32::try_from(self.run >> 32).unwrap_or_default();
        Journal::open(fd, job, run)
    }
}

impl Drop for PartialFolder {
    fn drop(&mut self) {
        // Whoever else works there holds a shared lock; a folder that is not
        // empty stays, for its owner or for the next job's cleaning.
        if rustix::fs::flock(&self.fd, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = rustix::fs::unlinkat(&self.dest, PARTIAL_FOLDER, AtFlags::REMOVEDIR);
        }
    }
}

fn remove_leftovers(fd: &OwnedFd) {
    let Ok(entries) = Dir::read_from(fd) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name == c"." || name == c".." || (journal::is_journal(name) && is_recent(fd, name)) {
            continue;
        }
        let _ = rustix::fs::unlinkat(fd, name, AtFlags::empty());
    }
}

/// Whether its job may still come back for it.
fn is_recent(fd: &OwnedFd, name: &CStr) -> bool {
    let Ok(stat) = rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) else { return true };
    let modified = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or_default());
    match SystemTime::now().duration_since(UNIX_EPOCH + modified) {
        Ok(age) => age < KEPT_FOR,
        Err(_) => true,
    }
}

/// One shard's names in the partial folder.
#[derive(Debug)]
pub struct PartialNames {
    fd: Fd,
    stem: String,
    next: Cell<u64>,
}

impl PartialNames {
    /// The folder.
    pub fn folder(&self) -> &Fd {
        &self.fd
    }
}

/// What becomes of a partial file when it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Unlinked,
    Kept,
    Renamed,
}

/// A file that nobody sees yet; unlinked when dropped, unless it is kept.
#[derive(Debug)]
pub struct PartialFile {
    folder: Fd,
    name: CString,
    fd: Fd,
    end: End,
}

impl PartialFile {
    /// A new file of `bytes` bytes with its space reserved, mode 0644 less the
    /// umask.
    ///
    /// # Errors
    /// `DiskFull` when it does not fit.
    pub async fn create(ring: &Ring, names: &PartialNames, bytes: u64) -> Result<Self> {
        let number = names.next.get();
        names.next.set(number + 1);
        let name = super::c_path(&format!("{}-{number}", names.stem))?;
        Self::create_as(ring, &names.fd, name, bytes).await
    }

    /// The same, under a name that another process will find again; a file that
    /// has it goes.
    ///
    /// # Errors
    /// `DiskFull` when it does not fit.
    pub async fn replace(ring: &Ring, folder: &Fd, name: CString, bytes: u64) -> Result<Self> {
        let _ = rustix::fs::unlinkat(&**folder, &name, AtFlags::empty());
        Self::create_as(ring, folder, name, bytes).await
    }

    async fn create_as(ring: &Ring, folder: &Fd, name: CString, bytes: u64) -> Result<Self> {
        let shown = format!("{PARTIAL_FOLDER}/{}", name.to_string_lossy());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW;
        // A plain call: cheaper than through the ring, and it cannot happen
        // after a cancellation, when nobody would unlink the file.
        let mode = Mode::from_raw_mode(0o644);
        let opened = rustix::fs::openat(&**folder, &name, flags | OFlags::CLOEXEC, mode);
        let fd = Rc::new(opened.map_err(|errno| fault("create", &shown, errno.into()))?);
        let file = Self { folder: Rc::clone(folder), name, fd, end: End::Unlinked };
        if bytes > 0 {
            let reserved = ring.allocate(&file.fd, bytes).await;
            reserved
                .map_err(|error| fault(&format!("reserve {bytes} bytes for"), &shown, error))?;
        }
        Ok(file)
    }

    /// The file `name` that an earlier process kept, if it is one of `bytes`
    /// bytes.
    pub fn reopen(folder: &Fd, name: CString, bytes: u64) -> Option<Self> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&**folder, &name, flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&fd).ok()?;
        let is_ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && u64::try_from(stat.st_size) == Ok(bytes);
        is_ours.then(|| Self {
            folder: Rc::clone(folder),
            name,
            fd: Rc::new(fd),
            end: End::Unlinked,
        })
    }

    /// Leaves it for another process.
    pub fn keep(&mut self) {
        self.end = End::Kept;
    }

    /// The open file.
    pub fn fd(&self) -> &Fd {
        &self.fd
    }

    /// Renames it to `name` in `folder`, replacing a file of that name.
    ///
    /// # Errors
    /// `KeyRefused` where a folder has that name.
    pub async fn rename(mut self, ring: &Ring, folder: &Fd, name: &str) -> Result<()> {
        let to = super::c_path(name)?;
        let renamed = ring.rename_at(&self.folder, &self.name, folder, &to).await;
        renamed.map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => Error::new(
                ErrorKind::KeyRefused,
                format!("\"{name}\" is a folder in the destination and a file in the store"),
            ),
            _ => fault("publish", name, error),
        })?;
        self.end = End::Renamed;
        Ok(())
    }

    /// Renames it to `name` in `folder` unless that name is taken; whether it
    /// was free. It goes where it was not. Where the file system cannot say so in one step, the name is
    /// looked for first.
    ///
    /// # Errors
    /// The disk's own.
    pub fn rename_new(mut self, folder: &Fd, name: &str) -> Result<bool> {
        let to = super::c_path(name)?;
        let flags = RenameFlags::NOREPLACE;
        let renamed = rustix::fs::renameat_with(&*self.folder, &self.name, &**folder, &to, flags);
        match renamed {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                self.end = End::Unlinked;
                return Ok(false);
            }
            Err(Errno::INVAL | Errno::NOSYS) => {
                if rustix::fs::statat(&**folder, &to, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                    self.end = End::Unlinked;
                    return Ok(false);
                }
                rustix::fs::renameat(&*self.folder, &self.name, &**folder, &to)
                    .map_err(|errno| fault("publish", name, errno.into()))?;
            }
            Err(errno) => return Err(fault("publish", name, errno.into())),
        }
        self.end = End::Renamed;
        Ok(true)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if self.end == End::Unlinked {
            let _ = rustix::fs::unlinkat(&*self.folder, &self.name, AtFlags::empty());
        }
    }
}

/// How the open file looks, which a rename does not change.
///
/// # Errors
/// The disk's own.
pub fn look_at(fd: &Fd) -> Result<Look> {
    let stat = rustix::fs::fstat(&**fd);
    stat.map(|stat| look(&stat)).map_err(|errno| fault("look at", PARTIAL_FOLDER, errno.into()))
}

/// How a file of that `stat` looks.
pub fn look(stat: &Stat) -> Look {
    Look {
        inode: stat.st_ino,
        bytes: u64::try_from(stat.st_size).unwrap_or_default(),
        modified: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or_default()),
    }
}
