//! What is open while somebody holds it.

use std::sync::atomic::Ordering::Relaxed;

use osmo_engine::Progress;

use super::{Backend, Direction, Kind, Meters, RetryReason};

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

/// One session; dropping it says that it is over.
#[derive(Debug)]
pub(crate) struct SessionMeter {
    meters: Meters,
    kind: Kind,
}

impl SessionMeter {
    pub(super) fn new(meters: Meters, kind: Kind) -> Self {
        meters.0.sessions_open[kind as usize].fetch_add(1, Relaxed);
        meters.0.sessions[kind as usize].fetch_add(1, Relaxed);
        Self { meters, kind }
    }
}

impl Drop for SessionMeter {
    fn drop(&mut self) {
        self.meters.0.sessions_open[self.kind as usize].fetch_sub(1, Relaxed);
    }
}

/// One connection of a session; dropping it says that it is over.
#[derive(Debug)]
pub(crate) struct ConnectionMeter {
    meters: Meters,
    kind: Kind,
}

impl ConnectionMeter {
    pub(super) fn new(meters: Meters, kind: Kind) -> Self {
        meters.0.connections_open[kind as usize].fetch_add(1, Relaxed);
        meters.0.connections[kind as usize].fetch_add(1, Relaxed);
        Self { meters, kind }
    }
}

impl Drop for ConnectionMeter {
    fn drop(&mut self) {
        self.meters.0.connections_open[self.kind as usize].fetch_sub(1, Relaxed);
    }
}
