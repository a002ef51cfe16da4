//! What is open while somebody holds it.

use std::sync::atomic::Ordering::Relaxed;

use osmo_engine::Progress;

use super::{Backend, Counts, Direction, Each, Kind, Meters, RetryReason};

/// One transfer; dropping it says that it is over.
#[derive(Debug)]
pub(crate) struct TransferMeter {
    meters: Meters,
    direction: Direction,
    backend: Backend,
    seen: Progress,
}

impl TransferMeter {
    pub(super) fn new(meters: Meters, direction: Direction, backend: Backend) -> Self {
        meters.0.transfers.fetch_add(1, Relaxed);
        Self { meters, direction, backend, seen: Progress::default() }
    }

    /// Counts what moved since the last look; a look at an older state counts
    /// nothing.
    pub(crate) fn see(&mut self, progress: &Progress) {
        let bytes = progress.bytes_done.saturating_sub(self.seen.bytes_done);
        let objects = progress.files_done.saturating_sub(self.seen.files_done);
        let retries = progress.retries.saturating_sub(self.seen.retries);
        self.meters.add_moved(self.direction, self.backend, bytes, objects);
        self.meters.retried(RetryReason::Request, retries);
        self.seen.bytes_done += bytes;
        self.seen.files_done += objects;
        self.seen.retries += retries;
    }
}

impl Drop for TransferMeter {
    fn drop(&mut self) {
        self.meters.0.transfers.fetch_sub(1, Relaxed);
    }
}

/// Places of one kind of thing in the counts: those that are open, and those that
/// ever were.
pub(super) type Places = fn(&Counts) -> [&Each<{ Kind::ALL.len() }>; 2];

/// One session, or one connection of a session; dropping it says that it is over.
#[derive(Debug)]
pub(crate) struct OpenMeter {
    meters: Meters,
    kind: Kind,
    places: Places,
}

impl OpenMeter {
    pub(super) fn new(meters: Meters, kind: Kind, places: Places) -> Self {
        for count in places(&meters.0) {
            count[kind as usize].fetch_add(1, Relaxed);
        }
        Self { meters, kind, places }
    }
}

impl Drop for OpenMeter {
    fn drop(&mut self) {
        let [open, _] = (self.places)(&self.meters.0);
        open[self.kind as usize].fetch_sub(1, Relaxed);
    }
}
