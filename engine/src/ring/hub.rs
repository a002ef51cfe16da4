//! The mailbox of a ring: what other threads leave for it, and the eventfd
//! that ends its wait.
//!
//! No wake is lost: a sender first posts under the lock, then looks whether
//! the ring sleeps; the ring first says that it sleeps, then looks under the
//! same lock whether something was posted. One of the two sees the other.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use super::op::{Call, Outcome};
use super::slots::Token;
use super::tasks::TaskId;

/// A finished operation on its way back to its slot.
pub(super) struct Completion {
    pub(super) token: Token,
    pub(super) outcome: Outcome,
    /// The call, where it had left the slot.
    pub(super) call: Option<Call>,
}

/// What was posted since the ring last looked. Bounded: a task is posted once
/// until it runs, a completion once per operation in flight.
#[derive(Default)]
pub(super) struct Mail {
    pub(super) ready: Vec<TaskId>,
    pub(super) done: Vec<Completion>,
    /// Calls of [`super::Remote::wake`] so far.
    pub(super) wakes: u64,
}

pub(super) struct Hub {
    mail: Mutex<Mail>,
    asleep: AtomicBool,
    event: OwnedFd,
}

impl Hub {
    pub(super) fn new() -> std::io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { mail: Mutex::default(), asleep: AtomicBool::new(false), event })
    }

    /// The mailbox; whoever posts calls [`Hub::notify`] after unlocking.
    pub(super) fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn post(&self, step: impl FnOnce(&mut Mail)) {
        step(&mut self.mail());
        self.notify();
    }

    /// Ends the ring's wait, if it waits.
    fn notify(&self) {
        #[cfg(feature = "sim")]
        if let Some(world) = crate::sim::world() {
            return world.stir().notify_one();
        }
        if self.asleep.swap(false, Ordering::SeqCst) {
            // Only a counter near its maximum refuses, and then it is readable.
            let _full = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        }
    }

    /// Says that the ring is about to wait; false if it must not, because
    /// something was posted.
    pub(super) fn falls_asleep(&self, wakes_seen: u64) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let quiet = self.is_quiet(wakes_seen);
        if !quiet {
            self.wakes_up();
        }
        quiet
    }

    /// Whether nothing was posted.
    pub(super) fn is_quiet(&self, wakes_seen: u64) -> bool {
        let mail = self.mail();
        mail.ready.is_empty() && mail.done.is_empty() && mail.wakes == wakes_seen
    }

    pub(super) fn wakes_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Makes the eventfd unreadable again.
    pub(super) fn quiet(&self) {
        let mut count = [0; 8];
        while let Err(Errno::INTR) = rustix::io::read(&self.event, &mut count) {}
    }
}

impl AsFd for Hub {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
