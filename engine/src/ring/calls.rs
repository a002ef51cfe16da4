//! The operations as methods: what each takes, gives back and fails with.

use std::ffi::CStr;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;

use rustix::fs::{Mode, OFlags};

use super::flight::InFlight;
use super::op::{Call, Op, Value};
use super::{Fd, Given, Ring};
use crate::mem::{Buffer, Slice};

impl Ring {
    async fn perform(&self, op: Op) -> Given<Value, Call> {
        InFlight::new(&self.0, op).await
    }

    async fn done(&self, op: Op) -> io::Result<()> {
        self.perform(op).await.0.map(drop)
    }

    /// A connected, non-blocking TCP socket with `TCP_NODELAY`.
    ///
    /// # Errors
    /// As `socket(2)` and `connect(2)`.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<Fd> {
        let fd = Rc::new(self.0.driver.borrow_mut().socket(to)?);
        self.done(Op::on(&fd, Call::Connect { to: Box::new(to.into()) })).await?;
        Ok(fd)
    }

    /// Receives into `buffer[into]`; 0 is the end of the stream.
    pub async fn recv(&self, fd: &Fd, buffer: Buffer, into: Range<usize>) -> Given<usize, Buffer> {
        let (outcome, call) = self.perform(Op::on(fd, Call::Recv { buffer, into })).await;
        match call {
            Call::Recv { buffer, .. } => (outcome.map(Value::bytes), buffer),
            other => other.mixed_up(),
        }
    }

    /// Sends some of the slice; may be short.
    pub async fn send(&self, fd: &Fd, slice: Slice) -> Given<usize, Slice> {
        let (outcome, call) = self.perform(Op::on(fd, Call::Send { slice })).await;
        match call {
            Call::Send { slice } => (outcome.map(Value::bytes), slice),
            other => other.mixed_up(),
        }
    }

    /// `openat(2)`, always with `O_CLOEXEC`.
    ///
    /// # Errors
    /// As `openat(2)`.
    pub async fn open_at(
        &self,
        dir: &Fd,
        path: &CStr,
        flags: OFlags,
        mode: Mode,
    ) -> io::Result<Fd> {
        let flags = flags | OFlags::CLOEXEC;
        let (outcome, _) =
            self.perform(Op::on(dir, Call::Open { path: path.to_owned(), flags, mode })).await;
        match outcome? {
            Value::Opened(fd) => Ok(Rc::new(fd)),
            Value::Nothing | Value::Bytes(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Reads into `buffer[into]` at `offset`; 0 is the end of the file.
    pub async fn read_at(
        &self,
        fd: &Fd,
        buffer: Buffer,
        into: Range<usize>,
        offset: u64,
    ) -> Given<usize, Buffer> {
        let (outcome, call) = self.perform(Op::on(fd, Call::Read { buffer, into, offset })).await;
        match call {
            Call::Read { buffer, .. } => (outcome.map(Value::bytes), buffer),
            other => other.mixed_up(),
        }
    }

    /// Writes **all** slices, in order, from `offset` on, as one vectored
    /// write where the kernel allows; short writes are continued.
    pub async fn write_at(
        &self,
        fd: &Fd,
        slices: Vec<Slice>,
        offset: u64,
    ) -> Given<(), Vec<Slice>> {
        let (outcome, call) = self.perform(Op::on(fd, Call::Write { slices, offset })).await;
        match call {
            Call::Write { slices, .. } => (outcome.map(drop), slices),
            other => other.mixed_up(),
        }
    }

    /// `fdatasync(2)`.
    ///
    /// # Errors
    /// As `fdatasync(2)`; after one, what was written before is in doubt.
    pub async fn sync(&self, fd: &Fd) -> io::Result<()> {
        self.done(Op::on(fd, Call::Sync)).await
    }

    /// Reserves `bytes` for the file and makes that its length. A file system
    /// that cannot reserve just sets the length.
    ///
    /// # Errors
    /// As `fallocate(2)` and `ftruncate(2)`.
    pub async fn allocate(&self, fd: &Fd, bytes: u64) -> io::Result<()> {
        self.done(Op::on(fd, Call::Allocate { bytes })).await
    }

    /// `renameat2(2)` without flags: replaces an existing file atomically.
    ///
    /// # Errors
    /// As `renameat2(2)`.
    pub async fn rename_at(
        &self,
        from_dir: &Fd,
        from: &CStr,
        to_dir: &Fd,
        to: &CStr,
    ) -> io::Result<()> {
        let mut op = Op::on(from_dir, Call::Rename { from: from.to_owned(), to: to.to_owned() });
        op.other = Some(Rc::clone(to_dir));
        self.done(op).await
    }

    /// `unlinkat(2)` of a file.
    ///
    /// # Errors
    /// As `unlinkat(2)`.
    pub async fn unlink_at(&self, dir: &Fd, path: &CStr) -> io::Result<()> {
        self.done(Op::on(dir, Call::Unlink { path: path.to_owned() })).await
    }

    /// `mkdirat(2)`.
    ///
    /// # Errors
    /// As `mkdirat(2)`.
    pub async fn mkdir_at(&self, dir: &Fd, path: &CStr, mode: Mode) -> io::Result<()> {
        self.done(Op::on(dir, Call::Mkdir { path: path.to_owned(), mode })).await
    }
}
