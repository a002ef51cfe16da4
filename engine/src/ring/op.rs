//! The closed list of operations. An operation owns what it needs and gives it
//! back with its result, whatever happened.

use std::ffi::CString;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::net::SocketAddrAny;

use super::Fd;
use crate::mem::{Buffer, Slice};

/// The descriptors that an operation keeps open, and what it does with them.
pub(super) struct Op {
    pub(super) fd: Fd,
    /// The second folder of a rename.
    pub(super) other: Option<Fd>,
    pub(super) call: Call,
}

/// What to do; `Send`, so that a worker thread can do it while the slot keeps
/// the descriptors.
pub(super) enum Call {
    /// Finishes when the socket is connected or refused.
    Connect { to: Box<SocketAddrAny> },
    /// At least one byte, or 0 at the end of the stream.
    Recv { buffer: Buffer, into: Range<usize> },
    /// At least one byte of a slice that has any.
    Send { slice: Slice },
    /// `openat`, with `O_CLOEXEC`.
    Open { path: CString, flags: OFlags, mode: Mode },
    /// `pread`, or 0 at the end of the file.
    Read { buffer: Buffer, into: Range<usize>, offset: u64 },
    /// All slices in order, short writes continued.
    Write { slices: Vec<Slice>, offset: u64 },
    /// `fdatasync`.
    Sync,
    /// Reserves the bytes and makes them the length.
    Allocate { bytes: u64 },
    /// Replaces an existing file atomically.
    Rename { from: CString, to: CString },
    /// Removes a file's name.
    Unlink { path: CString },
    /// Makes a folder.
    Mkdir { path: CString, mode: Mode },
}

/// What an operation yields beside its resources.
#[derive(Debug)]
pub(super) enum Value {
    Nothing,
    Bytes(usize),
    /// Closed when nobody takes it.
    Opened(OwnedFd),
}

impl Value {
    /// The bytes of an operation that moves bytes.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Bytes(count) => count,
            Self::Nothing | Self::Opened(_) => 0,
        }
    }
}

impl Call {
    /// A slot never gives back another call than it took.
    pub(super) fn mixed_up(self) -> ! {
        unreachable!("an operation came back as another one")
    }
}

/// How an operation ended.
pub(super) type Outcome = io::Result<Value>;

/// Bytes `into` of `buffer`, or why there are none.
pub(super) fn within<'a>(buffer: &'a mut Buffer, into: &Range<usize>) -> io::Result<&'a mut [u8]> {
    buffer.get_mut(into.clone()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the range lies outside its buffer")
    })
}

/// What the future of a dropped operation would have seen.
pub(super) fn cancelled() -> io::Error {
    rustix::io::Errno::CANCELED.into()
}

impl Op {
    pub(super) fn on(fd: &Fd, call: Call) -> Self {
        Self { fd: Fd::clone(fd), other: None, call }
    }

    /// Refuses what no driver could do, before it takes a slot.
    pub(super) fn check(&self) -> io::Result<()> {
        let inside = match &self.call {
            Call::Recv { buffer, into } | Call::Read { buffer, into, .. } => {
                buffer.get(into.clone()).is_some()
            }
            Call::Send { slice } => slice.buffer.get(slice.start..slice.end).is_some(),
            Call::Write { slices, .. } => {
                slices.iter().all(|slice| slice.buffer.get(slice.start..slice.end).is_some())
            }
            _ => true,
        };
        if inside {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "the range lies outside its buffer"))
    }
}
