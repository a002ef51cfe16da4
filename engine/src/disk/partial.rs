//! The folder of unfinished files, and one such file.

use std::cell::Cell;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::clock::Chance;
use crate::disk::fault;
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
        if entry.file_name() != c"." && entry.file_name() != c".." {
            let _ = rustix::fs::unlinkat(fd, entry.file_name(), AtFlags::empty());
        }
    }
}

/// One shard's names in the partial folder.
#[derive(Debug)]
pub struct PartialNames {
    fd: Fd,
    stem: String,
    next: Cell<u64>,
}

/// A file that nobody sees yet; unlinked when dropped.
#[derive(Debug)]
pub struct PartialFile {
    folder: Fd,
    name: CString,
    fd: Fd,
    renamed: bool,
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
        let shown = format!("{PARTIAL_FOLDER}/{}-{number}", names.stem);
        let name = super::c_path(&format!("{}-{number}", names.stem))?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW;
        // A plain call: cheaper than through the ring, and it cannot happen
        // after a cancellation, when nobody would unlink the file.
        let mode = Mode::from_raw_mode(0o644);
        let opened = rustix::fs::openat(&*names.fd, &name, flags | OFlags::CLOEXEC, mode);
        let fd = Rc::new(opened.map_err(|errno| fault("create", &shown, errno.into()))?);
        let file = Self { folder: Rc::clone(&names.fd), name, fd, renamed: false };
        if bytes > 0 {
            let reserved = ring.allocate(&file.fd, bytes).await;
            reserved
                .map_err(|error| fault(&format!("reserve {bytes} bytes for"), &shown, error))?;
        }
        Ok(file)
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
        self.renamed = true;
        Ok(())
    }

    /// Renames it to `name` in `folder` unless that name is taken; whether it
    /// was free. Where the file system cannot say so in one step, the name is
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
            Err(Errno::EXIST) => return Ok(false),
            Err(Errno::INVAL | Errno::NOSYS) => {
                if rustix::fs::statat(&**folder, &to, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                    return Ok(false);
                }
                rustix::fs::renameat(&*self.folder, &self.name, &**folder, &to)
                    .map_err(|errno| fault("publish", name, errno.into()))?;
            }
            Err(errno) => return Err(fault("publish", name, errno.into())),
        }
        self.renamed = true;
        Ok(true)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = rustix::fs::unlinkat(&*self.folder, &self.name, AtFlags::empty());
        }
    }
}
