//! The loop: run what is ready, let the driver work, deliver what ended; and
//! the ring's end.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::core::{Core, INSTANT_PER_TURN};
use super::hub::{Completion, Hub};
use super::slots::Slots;
use super::tasks::{self, TaskId, TaskWake};

/// Polls between two turns of the driver.
const POLLS_PER_TURN: u32 = 32;

/// Time between two turns of the driver, as far as polls end.
const TIME_PER_TURN: Duration = Duration::from_micros(200);

impl Core {
    /// Runs the loop until `main` ends; then drops the tasks that are left and
    /// waits for what the kernel still holds.
    pub(super) fn run<F: Future>(&self, main: F) -> F::Output {
        let _ends = self.begins();
        let main = pin!(main);
        let mut main = Main::new(main, &self.hub);
        let mut ready = VecDeque::new();
        loop {
            if let Some(output) = main.step(self, &mut ready) {
                return output;
            }
            // The ring's own descriptors fail by a broken promise only.
            #[allow(clippy::panic)]
            if let Err(refused) = self.turn(ready.is_empty(), &mut ready) {
                panic!("the driver cannot wait: {refused}");
            }
        }
    }

    /// The loop begins; it ends with the guard.
    pub(super) fn begins(&self) -> Ends<'_> {
        assert!(!self.running.replace(true), "a ring runs one loop at a time");
        Ends(self)
    }

    /// One turn of the driver: waits if `may_wait` and nothing was posted,
    /// then delivers completions, deadlines and wakes.
    pub(super) fn turn(&self, may_wait: bool, ready: &mut VecDeque<TaskId>) -> io::Result<()> {
        // A cancelled operation may have made room.
        self.issue_queued();
        let wait = if may_wait && self.hub.falls_asleep(self.wakes_passed.get()) {
            let deadline = self.timers.borrow().next_deadline();
            deadline.map(|deadline| deadline.saturating_duration_since(self.now()))
        } else {
            Some(Duration::ZERO)
        };
        let mut done = Vec::new();
        let turned = {
            let mut slots = self.slots.borrow_mut();
            self.driver.borrow_mut().turn(wait, &mut slots, &mut done)
        };
        self.hub.wakes_up();
        turned?;
        self.deliver(done);
        self.instant_left.set(INSTANT_PER_TURN);
        ready.extend(self.hub.mail().ready.drain(..));
        Ok(())
    }

    fn deliver(&self, done: Vec<Completion>) {
        let (posted, wakes) = {
            let mut mail = self.hub.mail();
            (std::mem::take(&mut mail.done), mail.wakes)
        };
        for completion in done.into_iter().chain(posted) {
            self.finish(completion);
        }
        self.issue_queued();
        self.prune_carry();
        if !self.timers.borrow().is_empty() {
            let due = self.timers.borrow_mut().due(self.now());
            due.into_iter().for_each(Waker::wake);
        }
        if self.wakes_passed.replace(wakes) != wakes {
            let waiters = std::mem::take(&mut *self.wake_waiters.borrow_mut());
            waiters.into_iter().for_each(Waker::wake);
        }
    }

    /// Lets go of what was left on sockets that nobody holds any more.
    fn prune_carry(&self) {
        if !self.carry.borrow().is_empty() {
            let gone = self.carry.borrow_mut().prune();
            drop(gone);
        }
    }

    /// Drops the tasks; dropping one may spawn another.
    fn drop_tasks(&self) {
        loop {
            let Some(future) = self.tasks.borrow_mut().cancel_any() else { break };
            drop(future);
        }
    }

    /// Turns for as long as there is something `left`; false if the driver
    /// broke down first.
    fn drain(&self, left: impl Fn(&Self) -> bool) -> bool {
        while left(self) {
            // Whatever is posted meanwhile is for tasks that are gone.
            if self.turn(true, &mut VecDeque::new()).is_err() {
                return false;
            }
        }
        true
    }
}

/// The future that a loop runs to its end.
pub(super) struct Main<'a, F> {
    future: Pin<&'a mut F>,
    wake: Arc<TaskWake>,
    waker: Waker,
}

impl<'a, F: Future> Main<'a, F> {
    pub(super) fn new(future: Pin<&'a mut F>, hub: &Arc<Hub>) -> Self {
        let wake = TaskWake::new(TaskId::MAIN, Arc::clone(hub));
        let waker = Waker::from(Arc::clone(&wake));
        waker.wake_by_ref();
        Self { future, wake, waker }
    }

    /// Polls what is ready, as much as fits between two turns of the driver; the
    /// output once it has ended.
    pub(super) fn step(&mut self, core: &Core, ready: &mut VecDeque<TaskId>) -> Option<F::Output> {
        let began = core.now();
        for _ in 0..POLLS_PER_TURN {
            let id = ready.pop_front()?;
            if id == TaskId::MAIN {
                self.wake.begin();
                let mut cx = Context::from_waker(&self.waker);
                if let Poll::Ready(output) = self.future.as_mut().poll(&mut cx) {
                    return Some(output);
                }
            } else {
                tasks::run(&core.tasks, id);
            }
            if core.now().saturating_duration_since(began) > TIME_PER_TURN {
                break;
            }
        }
        None
    }
}

/// Ends a loop, also when `main` panics.
pub(super) struct Ends<'a>(&'a Core);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.drop_tasks();
        if !std::thread::panicking() {
            self.0.drain(|core| core.slots.borrow().abandoned() > 0);
        }
        self.0.prune_carry();
        self.0.running.set(false);
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.drop_tasks();
        // Every future holds the core, so only abandoned slots are left.
        if self.drain(|core| core.in_flight.get() > 0) {
            let held = self.slots.borrow().held();
            assert!(held == 0 || std::thread::panicking(), "{held} slots outlive their ring");
        } else {
            // Leaked, never freed under the kernel's hands.
            std::mem::forget(self.slots.replace(Slots::new()));
        }
    }
}
