//! What each phase took: the summary that a local runner shows.

use std::time::Instant;

use osmo_protocol::events::{
    GpuSummary, Left, Phase, PhaseSummary, SidecarEvent, Summary, UnfinishedUpload,
};

use crate::console::Console;
use crate::lifecycle::Failure;
use crate::transfer::Moved;
use crate::{left, usage};

/// What the end shows beside the phases.
#[derive(Default)]
pub(crate) struct Ending {
    pub(crate) command_code: Option<i32>,
    pub(crate) io_driver: String,
    pub(crate) gpu: Option<GpuSummary>,
    pub(crate) left: Left,
    pub(crate) lines_dropped: u64,
    pub(crate) left_behind: Vec<UnfinishedUpload>,
}

/// The phases so far.
pub(crate) struct Account {
    console: Console,
    begin: Instant,
    files: u64,
    phases: Vec<PhaseSummary>,
    open: Option<Open>,
}

struct Open {
    summary: PhaseSummary,
    begin: Instant,
    cpu_s: f64,
}

impl Account {
    /// Opens with `Init`.
    pub(crate) fn new(console: Console) -> Self {
        let mut account = Self {
            console,
            begin: Instant::now(),
            files: left::files(),
            phases: Vec::new(),
            open: None,
        };
        account.enter(Phase::Init);
        account
    }

    /// Time since the beginning; the lifecycle's clock.
    pub(crate) fn now(&self) -> std::time::Duration {
        self.begin.elapsed()
    }

    /// Files that were open at the beginning.
    pub(crate) fn files(&self) -> u64 {
        self.files
    }

    /// Closes the open phase and opens the next.
    pub(crate) fn enter(&mut self, phase: Phase) {
        self.close();
        let at_ms = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.console.below().event(&SidecarEvent::Phase { phase, at_ms });
        let summary =
            PhaseSummary { phase, duration_s: 0.0, bytes: 0, files: 0, cpu_s: 0.0, verified: 0 };
        self.open = Some(Open { summary, begin: Instant::now(), cpu_s: usage::cpu_s() });
    }

    /// Adds what moved to the open phase.
    pub(crate) fn add(&mut self, moved: &[Moved]) {
        let Some(Open { summary, .. }) = &mut self.open else { return };
        for moved in moved {
            summary.bytes += moved.bytes;
            summary.files += moved.files;
            summary.verified += moved.verified;
        }
    }

    fn close(&mut self) {
        if let Some(Open { mut summary, begin, cpu_s }) = self.open.take() {
            summary.duration_s = begin.elapsed().as_secs_f64();
            summary.cpu_s = usage::cpu_s() - cpu_s;
            self.phases.push(summary);
        }
    }

    /// The last event.
    pub(crate) fn finish(mut self, failure: Option<&Failure>, ending: Ending) {
        let Ending { command_code, io_driver, gpu, left, lines_dropped, left_behind } = ending;
        // The final phase has no length.
        self.open = None;
        self.console.event(&SidecarEvent::Summary(Summary {
            code: failure.map_or(0, |failure| failure.code.code()),
            message: failure.map(|failure| failure.sentence.clone()).unwrap_or_default(),
            command_code,
            phases: self.phases,
            rss_bytes_peak: usage::rss_bytes_peak(),
            cpu_s: usage::cpu_s(),
            io_driver,
            gpu,
            left,
            lines_dropped,
            left_behind,
        }));
    }
}
