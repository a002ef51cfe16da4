//! Part → [`Loaded`]: file bytes in leased buffers.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

use rustix::fs::{Mode, OFlags};

use crate::disk::fault;
use crate::error::{Error, ErrorKind, Result};
use crate::mem::{Lease, Slice};
use crate::range::Range;
use crate::ring::{Fd, Ring};
use crate::upload::FileOrder;
use crate::upload::walk::Stamp;

/// Some bytes of a part, in order from the offset they were asked for.
#[derive(Debug)]
pub struct Loaded {
    pub(super) slices: Vec<Slice>,
    pub(super) bytes: u64,
}

/// Where files are opened.
pub(super) struct Door {
    /// The folder that absolute paths start from.
    root: Fd,
    /// Real folders, one of which every file must lie in; any will do without.
    within: Vec<PathBuf>,
}

impl Door {
    /// # Errors
    /// No descriptor is left.
    pub(super) fn new(within: &[PathBuf]) -> Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags, Mode::empty());
        let root = root.map(Rc::new).map_err(|errno| fault("open", "/", errno.into()))?;
        Ok(Self { root, within: within.to_vec() })
    }

    /// The kernel's own word on where an open file lies: whoever may write to a
    /// folder can turn any name in it into a link at any time.
    fn admit(&self, fd: &Fd, name: &str) -> Result<()> {
        if self.within.is_empty() {
            return Ok(());
        }
        let place = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
            .map_err(|error| fault("find out where it lies:", name, error))?;
        if self.within.iter().any(|folder| place.starts_with(folder)) {
            return Ok(());
        }
        let folders: Vec<_> =
            self.within.iter().map(|folder| folder.display().to_string()).collect();
        let sentence = format!(
            "{name} leads out of {}; what is to be uploaded must lie there itself",
            folders.join(" and ")
        );
        Err(Error::new(ErrorKind::Local, sentence))
    }
}

/// Opens the order's file and makes sure that it is the one that was found.
pub(super) async fn open(ring: &Ring, door: &Door, order: &FileOrder) -> Result<Fd> {
    let path = std::ffi::CString::new(order.path.as_os_str().as_bytes())
        .map_err(|_| Error::new(ErrorKind::Local, "the path contains a NUL byte"))?;
    // Not blocking: the file may have become a pipe since it was found.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = ring.open_at(&door.root, &path, flags, Mode::empty()).await;
    let fd = opened.map_err(|error| fault("open", &order.name, error))?;
    door.admit(&fd, &order.name)?;
    unchanged(&fd, order)?;
    Ok(fd)
}

/// # Errors
/// `Changed` when the file is not in the state in which it was found.
pub(super) fn unchanged(fd: &Fd, order: &FileOrder) -> Result<()> {
    let file = fd.try_clone().map(File::from);
    let metadata = file.and_then(|file| file.metadata());
    let metadata = metadata.map_err(|error| fault("look at", &order.name, error))?;
    if Stamp::of(&metadata) == order.stamp { Ok(()) } else { Err(changed(order)) }
}

pub(super) fn changed(order: &FileOrder) -> Error {
    let sentence = format!(
        "{} changed while it was uploaded; upload it again when nobody writes to it",
        order.name
    );
    Error::new(ErrorKind::Changed, sentence)
}

/// Reads as much of `range` as the lease's free buffers hold.
///
/// # Errors
/// `Changed` when the file ends too early, or the disk's own failure.
pub(super) async fn load(
    ring: &Ring,
    fd: &Fd,
    order: &FileOrder,
    lease: &Lease,
    range: Range,
) -> Result<Loaded> {
    let mut loaded = Loaded { slices: Vec::with_capacity(crate::site::PART_BUFFERS), bytes: 0 };
    while range.start + loaded.bytes < range.end {
        let Some(mut buffer) = lease.take() else { break };
        let due = range.end - range.start - loaded.bytes;
        let room = buffer.len().min(usize::try_from(due).unwrap_or(usize::MAX));
        let mut filled = 0;
        while filled < room {
            let offset = range.start + loaded.bytes + filled as u64;
            let (read, back) = ring.read_at(fd, buffer, filled..room, offset).await;
            buffer = back;
            match read.map_err(|error| fault("read", &order.name, error))? {
                0 => return Err(changed(order)),
                count => filled += count,
            }
        }
        loaded.bytes += filled as u64;
        loaded.slices.push(Slice { buffer, start: 0, end: filled });
    }
    if loaded.bytes == 0 && !range.is_empty() {
        crate::site::buffer(lease)?;
    }
    Ok(loaded)
}
