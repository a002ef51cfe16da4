//! What the sidecar counts about itself, for whoever looks (`health.rs`).
//!
//! ```text
//!  driver ── beat, enter ──►┐
//!  transfers ── TransferMeter ──► Meters (atomics) ──read──► health: /metrics
//!  sessions ── OpenMeter ─────►┘     ▲
//!  link ── link_up, link_down ───────┘
//! ```
//!
//! Counting is one relaxed addition and never waits, whether or not anybody
//! looks. Labels are enums, so the number of series is fixed. Nothing decides
//! by these numbers: a wrong one misleads a dashboard and no task.

mod guards;
mod labels;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use osmo_nvml::Gpus;
use osmo_protocol::events::Phase;

use crate::gpu::GpuUse;

pub(crate) use guards::{OpenMeter, TransferMeter};
pub(crate) use labels::{Backend, Direction, Kind, Label, RetryReason};

/// The counts; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Meters(Arc<Counts>);

/// One number for each value of a label.
type Each<const N: usize> = [AtomicU64; N];

#[derive(Debug)]
struct Counts {
    begin: Instant,
    /// Microseconds after `begin`.
    beat: AtomicU64,
    /// Index into `Phase::ALL`.
    phase: AtomicU64,
    /// Microseconds after `begin` at which that phase began.
    phase_begin: AtomicU64,
    /// Microseconds in each phase that is over.
    phases: Each<{ Phase::ALL.len() }>,
    /// Bytes and objects, by direction, backend and phase.
    moved: [[[Moved; Phase::ALL.len()]; Backend::ALL.len()]; Direction::ALL.len()],
    retries: Each<{ RetryReason::ALL.len() }>,
    /// Transfers under way.
    transfers: AtomicU64,
    io_engine: Mutex<Option<(&'static str, String)>>,
    sessions_open: Each<{ Kind::ALL.len() }>,
    sessions: Each<{ Kind::ALL.len() }>,
    connections_open: Each<{ Kind::ALL.len() }>,
    connections: Each<{ Kind::ALL.len() }>,
    session_bytes: [Each<{ Direction::ALL.len() }>; Kind::ALL.len()],
    link_up: AtomicU64,
    link_connections: AtomicU64,
    gpus: Mutex<GpuUse>,
}

#[derive(Debug, Default)]
struct Moved {
    bytes: AtomicU64,
    objects: AtomicU64,
}

impl Meters {
    /// Counts that begin now, in phase `Init`.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Counts {
            begin: Instant::now(),
            beat: AtomicU64::default(),
            phase: AtomicU64::default(),
            phase_begin: AtomicU64::default(),
            phases: Each::default(),
            moved: Default::default(),
            retries: Each::default(),
            transfers: AtomicU64::default(),
            io_engine: Mutex::default(),
            sessions_open: Each::default(),
            sessions: Each::default(),
            connections_open: Each::default(),
            connections: Each::default(),
            session_bytes: Default::default(),
            link_up: AtomicU64::default(),
            link_connections: AtomicU64::default(),
            gpus: Mutex::default(),
        }))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.begin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The driver is alive; to be called at least every few seconds.
    pub(crate) fn beat(&self) {
        self.0.beat.store(self.now(), Relaxed);
    }

    /// How long ago the driver was alive.
    pub(crate) fn beat_age(&self) -> Duration {
        Duration::from_micros(self.now().saturating_sub(self.0.beat.load(Relaxed)))
    }

    /// The task entered `phase`. Only the driver calls it.
    pub(crate) fn enter(&self, phase: Phase) {
        let now = self.now();
        let last = labels::index(self.0.phase.swap(phase as u64, Relaxed), Phase::ALL.len());
        let begin = self.0.phase_begin.swap(now, Relaxed);
        self.0.phases[last].fetch_add(now.saturating_sub(begin), Relaxed);
        if phase != Phase::Run {
            self.with_gpus(GpuUse::over);
        }
    }

    /// The phase that the task is in.
    pub(crate) fn phase(&self) -> Phase {
        Phase::ALL[labels::index(self.0.phase.load(Relaxed), Phase::ALL.len())]
    }

    /// Time spent in `phase` so far.
    pub(crate) fn phase_time(&self, phase: Phase) -> Duration {
        let mut time = self.0.phases[phase as usize].load(Relaxed);
        if phase == self.phase() {
            time += self.now().saturating_sub(self.0.phase_begin.load(Relaxed));
        }
        Duration::from_micros(time)
    }

    /// A transfer begins; what the guard sees is counted, under the phase that
    /// the task is in at that moment. `url` is the remote end.
    pub(crate) fn transfer(&self, direction: Direction, url: &str) -> TransferMeter {
        TransferMeter::new(self.clone(), direction, Backend::of(url))
    }

    /// Transfers under way.
    pub(crate) fn transfers(&self) -> u64 {
        self.0.transfers.load(Relaxed)
    }

    /// Bytes and objects that moved.
    pub(crate) fn moved(&self, way: Direction, backend: Backend, phase: Phase) -> (u64, u64) {
        let moved = &self.0.moved[way as usize][backend as usize][phase as usize];
        (moved.bytes.load(Relaxed), moved.objects.load(Relaxed))
    }

    fn add_moved(&self, way: Direction, backend: Backend, bytes: u64, objects: u64) {
        let moved = &self.0.moved[way as usize][backend as usize][self.phase() as usize];
        moved.bytes.fetch_add(bytes, Relaxed);
        moved.objects.fetch_add(objects, Relaxed);
    }

    /// `count` attempts failed and are repeated.
    pub(crate) fn retried(&self, reason: RetryReason, count: u64) {
        self.0.retries[reason as usize].fetch_add(count, Relaxed);
    }

    /// Attempts that failed and were repeated.
    pub(crate) fn retries(&self, reason: RetryReason) -> u64 {
        self.0.retries[reason as usize].load(Relaxed)
    }

    /// Which driver the engine took, and why.
    pub(crate) fn io_engine(&self, driver: &'static str, reason: &str) {
        let mut place = self.0.io_engine.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some((driver, reason.to_owned()));
    }

    /// What `io_engine` was told.
    pub(crate) fn io_engine_chosen(&self) -> Option<(&'static str, String)> {
        self.0.io_engine.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A session begins; it is over when the guard is dropped.
    pub(crate) fn session(&self, kind: Kind) -> OpenMeter {
        OpenMeter::new(self.clone(), kind, |counts| [&counts.sessions_open, &counts.sessions])
    }

    /// Sessions of `kind`: open, and ever begun.
    pub(crate) fn sessions(&self, kind: Kind) -> (u64, u64) {
        let at = kind as usize;
        (self.0.sessions_open[at].load(Relaxed), self.0.sessions[at].load(Relaxed))
    }

    /// A connection of a session begins, or a source of a UDP port; it is over
    /// when the guard is dropped.
    pub(crate) fn connection(&self, kind: Kind) -> OpenMeter {
        OpenMeter::new(self.clone(), kind, |counts| [&counts.connections_open, &counts.connections])
    }

    /// Connections of sessions of `kind`: open, and ever begun.
    pub(crate) fn connections(&self, kind: Kind) -> (u64, u64) {
        let at = kind as usize;
        (self.0.connections_open[at].load(Relaxed), self.0.connections[at].load(Relaxed))
    }

    /// Adds bytes that a session of `kind` carried.
    pub(crate) fn carried(&self, kind: Kind, way: Direction, bytes: u64) {
        self.0.session_bytes[kind as usize][way as usize].fetch_add(bytes, Relaxed);
    }

    /// Bytes that sessions of `kind` carried.
    pub(crate) fn session_bytes(&self, kind: Kind, way: Direction) -> u64 {
        self.0.session_bytes[kind as usize][way as usize].load(Relaxed)
    }

    /// Adds what was seen of the GPUs, unless the command has ended meanwhile.
    pub(crate) fn saw(&self, gpus: &Gpus) {
        self.with_gpus(|seen| {
            // `enter` clears under the same lock, after it has told the phase.
            if self.phase() == Phase::Run {
                seen.add(gpus);
            }
        });
    }

    /// Looks at the GPUs that were seen.
    pub(crate) fn with_gpus<T>(&self, look: impl FnOnce(&mut GpuUse) -> T) -> T {
        look(&mut self.0.gpus.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The link to the service is open.
    pub(crate) fn link_up(&self) {
        self.0.link_up.store(1, Relaxed);
        self.0.link_connections.fetch_add(1, Relaxed);
    }

    /// The link to the service is gone.
    pub(crate) fn link_down(&self) {
        self.0.link_up.store(0, Relaxed);
    }

    /// Whether the link is open.
    pub(crate) fn link_is_up(&self) -> bool {
        self.0.link_up.load(Relaxed) != 0
    }

    /// Times that the link was opened again after it was lost.
    pub(crate) fn link_reconnects(&self) -> u64 {
        self.0.link_connections.load(Relaxed).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests;
