//! The driver: a closed list of owned operations over io_uring or epoll, and
//! the small local executor whose tasks await them.

use std::ffi::CStr;
use std::future::Future;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use crate::config::IoChoice;
use crate::mem::{Buffer, Slice};
use crate::report::IoReport;

/// A file descriptor that an operation in flight keeps open.
pub type Fd = Rc<OwnedFd>;

/// A result that gives the resource back, whatever happened.
pub type Given<T, R> = (std::io::Result<T>, R);

/// A shard's ring and executor; cloning it clones the handle. Not `Send`.
#[derive(Clone)]
pub struct Ring(Rc<()>);

/// A spawned task; dropping it cancels the task.
pub struct Task<T>(std::marker::PhantomData<T>);

impl<T> Task<T> {
    /// Lets the task run on without its handle.
    pub fn detach(self) {}
}
impl<T> Future for Task<T> {
    type Output = T;
    fn poll(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<T> {
        todo!()
    }
}

/// Wakes a ring from another thread, so that its tasks look at their mailboxes.
#[derive(Clone)]
pub struct Remote(());

impl Remote {
    /// Makes [`Ring::woken`] resolve.
    pub fn wake(&self) {}
}

impl Ring {
    /// Opens the driver on the calling thread, which alone may use it.
    ///
    /// # Errors
    /// `Uring` was asked for and is refused, or the kernel is out of resources.
    pub fn open(_choice: IoChoice) -> crate::Result<(Ring, IoReport)> {
        todo!()
    }

    /// Runs the loop until `main` ends.
    pub fn block_on<F: Future>(&self, _main: F) -> F::Output {
        todo!()
    }

    /// Starts a local task.
    pub fn spawn<F>(&self, _task: F) -> Task<F::Output>
    where
        F: Future + 'static,
    {
        todo!()
    }

    /// The handle that other threads wake this ring with.
    pub fn remote(&self) -> Remote {
        todo!()
    }

    /// Resolves after the next [`Remote::wake`] (or at once, if one came since
    /// the last call).
    pub async fn woken(&self) {
        todo!()
    }

    /// The ring's clock.
    pub fn now(&self) -> Instant {
        todo!()
    }

    /// Resolves at `deadline`.
    pub async fn sleep_until(&self, _deadline: Instant) {
        todo!()
    }

    /// `future`'s output, or `None` after `limit`; the future is then dropped,
    /// which cancels its operation.
    pub async fn within<F: Future>(&self, _limit: Duration, _future: F) -> Option<F::Output> {
        todo!()
    }

    /// A connected, non-blocking TCP socket with `TCP_NODELAY`.
    pub async fn connect(&self, _to: SocketAddr) -> std::io::Result<Fd> {
        todo!()
    }

    /// Receives into `buffer[into]`; 0 is the end of the stream.
    pub async fn recv(
        &self,
        _fd: &Fd,
        _buffer: Buffer,
        _into: Range<usize>,
    ) -> Given<usize, Buffer> {
        todo!()
    }

    /// Sends some of the slice; may be short.
    pub async fn send(&self, _fd: &Fd, _slice: Slice) -> Given<usize, Slice> {
        todo!()
    }

    /// `openat(2)`, always with `O_CLOEXEC`.
    pub async fn open_at(
        &self,
        _dir: &Fd,
        _path: &CStr,
        _flags: OFlags,
        _mode: Mode,
    ) -> std::io::Result<Fd> {
        todo!()
    }

    /// Reads into `buffer[into]` at `offset`; 0 is the end of the file.
    pub async fn read_at(
        &self,
        _fd: &Fd,
        _buffer: Buffer,
        _into: Range<usize>,
        _offset: u64,
    ) -> Given<usize, Buffer> {
        todo!()
    }

    /// Writes **all** slices, in order, from `offset` on, as one vectored
    /// write where the kernel allows; short writes are continued.
    pub async fn write_at(
        &self,
        _fd: &Fd,
        _slices: Vec<Slice>,
        _offset: u64,
    ) -> Given<(), Vec<Slice>> {
        todo!()
    }

    /// `fdatasync(2)`.
    pub async fn sync(&self, _fd: &Fd) -> std::io::Result<()> {
        todo!()
    }

    /// Reserves `bytes` for the file and makes that its length.
    pub async fn allocate(&self, _fd: &Fd, _bytes: u64) -> std::io::Result<()> {
        todo!()
    }

    /// `renameat2(2)` without flags: replaces an existing file atomically.
    pub async fn rename_at(
        &self,
        _from_dir: &Fd,
        _from: &CStr,
        _to_dir: &Fd,
        _to: &CStr,
    ) -> std::io::Result<()> {
        todo!()
    }

    /// `unlinkat(2)` of a file.
    pub async fn unlink_at(&self, _dir: &Fd, _path: &CStr) -> std::io::Result<()> {
        todo!()
    }

    /// `mkdirat(2)`.
    pub async fn mkdir_at(&self, _dir: &Fd, _path: &CStr, _mode: Mode) -> std::io::Result<()> {
        todo!()
    }

    /// Runs `work` on a CPU worker thread.
    pub async fn on_worker<T: Send + 'static>(
        &self,
        _work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        todo!()
    }
}
