//! The futures of a ring: an operation in flight, a deadline, a wake.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::core::Core;
use super::op::{Call, Op, Outcome};
use super::slots::Token;
use super::timers::TimerId;

/// An operation; begins with its first poll, is cancelled by its drop.
pub(super) struct InFlight {
    core: Rc<Core>,
    stage: Stage,
}

enum Stage {
    New(Op),
    Begun(Token),
    Over,
}

impl InFlight {
    pub(super) fn new(core: &Rc<Core>, op: Op) -> Self {
        Self { core: Rc::clone(core), stage: Stage::New(op) }
    }

    fn begin(&mut self, op: Op, cx: &Context<'_>) -> Poll<(Outcome, Call)> {
        if let Err(refused) = op.check() {
            return Poll::Ready((Err(refused), op.call));
        }
        let token = match self.core.start(op) {
            Ok(token) => token,
            Err((refused, op)) => return Poll::Ready((Err(refused), op.call)),
        };
        if self.core.ended(token) && !self.core.instant() {
            // Out of turn: seen after the driver had its own.
            cx.waker().wake_by_ref();
            self.stage = Stage::Begun(token);
            return Poll::Pending;
        }
        self.look(token, cx)
    }

    fn look(&mut self, token: Token, cx: &Context<'_>) -> Poll<(Outcome, Call)> {
        let checked = self.core.check(token, cx.waker());
        if checked.is_pending() {
            self.stage = Stage::Begun(token);
        }
        checked
    }
}

impl Future for InFlight {
    type Output = (Outcome, Call);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::New(op) => self.begin(op, cx),
            Stage::Begun(token) => self.look(token, cx),
            Stage::Over => Poll::Pending,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Stage::Begun(token) = self.stage {
            self.core.abandon(token);
        }
    }
}

/// A deadline that somebody awaits.
pub(super) struct Sleep {
    core: Rc<Core>,
    deadline: Instant,
    set: Option<TimerId>,
}

impl Sleep {
    pub(super) fn new(core: &Rc<Core>, deadline: Instant) -> Self {
        Self { core: Rc::clone(core), deadline, set: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline <= self.core.now() {
            return Poll::Ready(());
        }
        let mut timers = self.core.timers.borrow_mut();
        match self.set {
            Some(id) => timers.update(id, cx.waker()),
            None => {
                let id = timers.insert(self.deadline, cx.waker().clone());
                drop(timers);
                self.set = Some(id);
            }
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.set {
            self.core.timers.borrow_mut().remove(id);
        }
    }
}

/// The next wake from outside.
pub(super) struct Woken {
    core: Rc<Core>,
    /// Wakes that had been seen when this future was made.
    since: u64,
}

impl Woken {
    pub(super) fn new(core: &Rc<Core>) -> Self {
        Self { core: Rc::clone(core), since: core.wakes_seen.get() }
    }
}

impl Future for Woken {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let wakes = self.core.hub.mail().wakes;
        if wakes != self.since {
            self.core.wakes_seen.set(wakes);
            return Poll::Ready(());
        }
        let mut waiters = self.core.wake_waiters.borrow_mut();
        if !waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
            waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
