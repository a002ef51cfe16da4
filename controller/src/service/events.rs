//! What the service tells its owner.
//!
//! A logger reserves room with every subscriber before it stores a line, then
//! stores and tells without waiting: a connection that dies in between has
//! done neither, and the sidecar sends the line again.

use super::store::{LogEntry, TaskIo, TaskTimes};
use super::task::TaskKey;
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc;

/// Events that one subscriber may be behind.
const BACKLOG: usize = 1024;

/// Something happened on a logger connection.
#[derive(Clone, Debug, PartialEq)]
pub enum ServiceEvent {
    /// A sidecar connected.
    Connected {
        /// Whose.
        task: TaskKey,
    },
    /// It left, or was dropped.
    Disconnected {
        /// Whose.
        task: TaskKey,
    },
    /// A line was stored.
    Line {
        /// From.
        task: TaskKey,
        /// As stored: masked, with its time normalised.
        line: LogEntry,
    },
    /// A transfer was reported.
    Transfer {
        /// From.
        task: TaskKey,
        /// As stored.
        metric: TaskIo,
    },
    /// The times of a phase were reported.
    Times {
        /// From.
        task: TaskKey,
        /// All times that are known by now.
        times: TaskTimes,
    },
    /// The task has its inputs and waits for its group.
    Barrier {
        /// From.
        task: TaskKey,
        /// Name of the barrier.
        name: String,
    },
}

#[derive(Default)]
pub(crate) struct Subscribers(Mutex<Vec<mpsc::Sender<ServiceEvent>>>);

/// Room for one event with every subscriber.
pub(crate) struct Room(Vec<mpsc::OwnedPermit<ServiceEvent>>);

impl Subscribers {
    pub(crate) fn subscribe(&self) -> mpsc::Receiver<ServiceEvent> {
        let (tx, rx) = mpsc::channel(BACKLOG);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(tx);
        rx
    }

    /// Waits until each subscriber that is still there has room.
    pub(crate) async fn room(&self) -> Room {
        let mut permits = Vec::new();
        for sender in self.present() {
            permits.extend(sender.reserve_owned().await);
        }
        Room(permits)
    }

    /// Tells those who have room.
    pub(crate) fn mention(&self, event: &ServiceEvent) {
        for sender in self.present() {
            let _ = sender.try_send(event.clone());
        }
    }

    fn present(&self) -> Vec<mpsc::Sender<ServiceEvent>> {
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        senders.retain(|sender| !sender.is_closed());
        senders.clone()
    }
}

impl Room {
    pub(crate) fn tell(self, event: &ServiceEvent) {
        for permit in self.0 {
            permit.send(event.clone());
        }
    }
}
