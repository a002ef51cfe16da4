//! The driver: a closed list of owned operations over io_uring or epoll (or, in
//! tests, a simulated world), and the small local executor whose tasks await
//! them.
//!
//! It is not a general runtime: one thread, local tasks, no tokio type, and
//! just the operations that moving bytes needs.
//!
//! ```text
//!   task ─── ring.recv(fd, buffer).await ──► (result, buffer)
//!                     │                            ▲
//!                     ▼ op                         │ completion
//!   ┌──────────────────────────── slots ─────────────────────────────┐
//!   │ own fd and buffers from submit to completion, whatever         │
//!   │ becomes of the future                                          │
//!   └──────┬───────────────────────┬────────────────────────┬────────┘
//!          ▼                       ▼                        ▼
//!   Driver::Uring            2 file threads           Driver::Epoll
//!   sockets, reads, opens,   the rest of Uring's,     sockets, by
//!   fdatasync                all of Epoll's           edges
//!          ╰───────────────────────┼────────────────────────╯
//!                                  ▼
//!              hub: mailbox and eventfd; also wakes, CPU workers
//! ```
//!
//! Invariants: what the kernel may touch is owned by a slot (`docs/UNSAFE.md`);
//! dropping a future cancels its operation and abandons the slot; a receive
//! that was dropped loses no byte of its stream; no wake is lost; a busy task
//! keeps the driver waiting for 32 polls or 200 µs at most, given that its
//! polls end. Limits: 510 operations in flight, more wait first come first
//! served; 2 file and at most 2 CPU threads per ring.
//!
//! A dropped send may have sent some bytes, and a dropped file operation may
//! still happen: whoever drops one knows nothing about the file or stream.

mod calls;
mod carry;
mod core;
mod driver;
mod epoll;
mod files;
mod flight;
mod hub;
mod op;
mod run;
mod setup;
#[cfg(feature = "sim")]
mod sim;
mod slots;
mod tasks;
mod timers;
mod uring;
mod workers;

use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use self::core::Core;
use self::flight::{Sleep, Woken};
use self::hub::Hub;
pub use self::setup::{Capabilities, Refusal};
use self::tasks::Outlet;
pub use self::tasks::Task;
use self::workers::Workers;
use crate::config::IoChoice;
use crate::error::{Error, ErrorKind};
use crate::report::IoReport;

/// A file descriptor that an operation in flight keeps open.
pub type Fd = Rc<OwnedFd>;

/// A result that gives the resource back, whatever happened.
pub type Given<T, R> = (std::io::Result<T>, R);

/// A shard's ring and executor; cloning it clones the handle. Not `Send`.
#[derive(Clone)]
pub struct Ring(Rc<Core>);

/// Wakes a ring from another thread, so that its tasks look at their mailboxes.
#[derive(Clone)]
pub struct Remote(Arc<Hub>);

impl Remote {
    /// Makes [`Ring::woken`] resolve. Harmless when the ring is gone.
    pub fn wake(&self) {
        self.0.post(|mail| mail.wakes += 1);
    }
}

impl Ring {
    /// Opens the driver on the calling thread, which alone may use it.
    ///
    /// # Errors
    /// `Unsupported` when `Uring` was asked for and is refused; `Local` when
    /// the process is out of descriptors or threads.
    pub fn open(choice: IoChoice) -> crate::Result<(Ring, IoReport)> {
        let local = |refused: std::io::Error| {
            let sentence =
                "cannot start the driver's threads; raise the open-file or process limit";
            Error::new(ErrorKind::Local, sentence).because(refused)
        };
        let hub = Arc::new(Hub::new().map_err(local)?);
        let (driver, capabilities, report) = setup::open(choice, &hub)?;
        let workers = Workers::start(choice).map_err(local)?;
        Ok((Ring(Rc::new(Core::new(driver, hub, workers, capabilities))), report))
    }

    /// What the kernel granted and refused when the driver opened.
    pub fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    /// Runs the loop until `main` ends. The tasks that are left then are
    /// dropped, and what the kernel still holds is waited for: afterwards no
    /// dropped operation owns a buffer or a descriptor any more.
    ///
    /// # Panics
    /// When called from within a task, or with a panic of a task.
    pub fn block_on<F: Future>(&self, main: F) -> F::Output {
        self.0.run(main)
    }

    /// As [`Ring::block_on`], as a task of the paused runtime that a simulated
    /// ring lives in.
    ///
    /// # Panics
    /// Outside of a simulation.
    #[cfg(feature = "sim")]
    pub async fn drive<F: Future>(&self, main: F) -> F::Output {
        self.0.drive(main).await
    }

    /// Starts a local task.
    pub fn spawn<F>(&self, task: F) -> Task<F::Output>
    where
        F: Future + 'static,
    {
        let outlet = Outlet::new();
        let inlet = Rc::clone(&outlet);
        let future = Box::pin(async move { Outlet::fill(&inlet, task.await) });
        let id = self.0.tasks.borrow_mut().insert(&self.0.hub, future);
        Task { core: Rc::clone(&self.0), id: Some(id), outlet }
    }

    /// The handle that other threads wake this ring with.
    pub fn remote(&self) -> Remote {
        Remote(Arc::clone(&self.0.hub))
    }

    /// Resolves after the next [`Remote::wake`] (or at once, if one came since
    /// the last call).
    pub async fn woken(&self) {
        Woken::new(&self.0).await;
    }

    /// The ring's clock.
    pub fn now(&self) -> Instant {
        self.0.now()
    }

    /// Resolves at `deadline`.
    pub async fn sleep_until(&self, deadline: Instant) {
        Sleep::new(&self.0, deadline).await;
    }

    /// `future`'s output, or `None` after `limit`; the future is then dropped,
    /// which cancels its operation.
    pub async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        // A limit beyond the clock's range is no limit.
        let Some(deadline) = self.now().checked_add(limit) else { return Some(future.await) };
        let mut future = pin!(future);
        let mut late = pin!(Sleep::new(&self.0, deadline));
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            late.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    /// Runs `work` on a CPU worker thread; its panic goes on in the caller.
    /// Work whose future is dropped before it began is not done.
    pub async fn on_worker<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        self.0.workers.run(work).await
    }
}
