//! The end of a job's tasks on a shard: whatever a task awaits is dropped,
//! which cancels its operation and runs its clean-up.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, Waker};

/// A flag that tasks race against. Not `Send`.
#[derive(Debug, Default)]
pub(super) struct Stop {
    fired: Cell<bool>,
    next: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, Waker>>,
}

impl Stop {
    pub(super) fn fire(&self) {
        self.fired.set(true);
        for (_, waker) in self.waiting.take() {
            waker.wake();
        }
    }

    /// The output of `task`, or `None` once the flag is up.
    pub(super) async fn race<T>(&self, task: impl Future<Output = T>) -> Option<T> {
        let id = self.next.get();
        self.next.set(id + 1);
        let mut task = pin!(task);
        let ended = poll_fn(|cx| {
            if self.fired.get() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(output) = task.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            self.waiting.borrow_mut().insert(id, cx.waker().clone());
            Poll::Pending
        })
        .await;
        self.waiting.borrow_mut().remove(&id);
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::task::Context;

    #[test]
    fn a_stopped_task_is_dropped_and_an_ended_one_is_not() {
        let stop = Stop::default();
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(pin!(stop.race(async { 7 })).poll(&mut cx), Poll::Ready(Some(7)));
        let mut endless = pin!(stop.race(pending::<()>()));
        assert_eq!(endless.as_mut().poll(&mut cx), Poll::Pending);
        stop.fire();
        assert_eq!(endless.as_mut().poll(&mut cx), Poll::Ready(None));
        assert!(stop.waiting.borrow().is_empty());
    }
}
