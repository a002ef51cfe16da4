//! Deadlines in order; the next one bounds the wait.

use std::collections::BTreeMap;
use std::time::Instant;

use std::task::Waker;

/// A deadline's place: equal deadlines go off in the order they were set.
pub(super) type TimerId = (Instant, u64);

/// The deadlines that somebody awaits; one per sleeping future.
#[derive(Default)]
pub(super) struct Timers {
    set: BTreeMap<TimerId, Waker>,
    next: u64,
}

impl Timers {
    pub(super) fn insert(&mut self, deadline: Instant, waker: Waker) -> TimerId {
        let id = (deadline, self.next);
        self.next += 1;
        self.set.insert(id, waker);
        id
    }

    pub(super) fn update(&mut self, id: TimerId, waker: &Waker) {
        if let Some(kept) = self.set.get_mut(&id) {
            kept.clone_from(waker);
        }
    }

    pub(super) fn remove(&mut self, id: TimerId) {
        self.set.remove(&id);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.set.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Takes out what is due at `now`, in order.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(entry) = self.set.first_entry() {
            if entry.key().0 > now {
                break;
            }
            due.push(entry.remove());
        }
        due
    }
}
