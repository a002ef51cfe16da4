//! How much waits, for whoever looks.

use super::Outbox;

/// One look at the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// Lines that are not acknowledged.
    pub(crate) lines: u64,
    /// Bytes of those lines.
    pub(crate) bytes: u64,
    /// Lines lost since the beginning.
    pub(crate) dropped: u64,
    /// Those of them that the service was not told of.
    pub(crate) untold: u64,
}

impl Outbox {
    /// How much waits now, and what was lost so far.
    pub(crate) fn backlog(&self) -> Backlog {
        let queue = self.lock();
        let (lines, bytes) = (queue.entries.len() as u64, queue.bytes as u64);
        Backlog { lines, bytes, dropped: queue.dropped_total, untold: queue.dropped }
    }
}
