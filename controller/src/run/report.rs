//! What a run prints at its end: a table for people, the same as JSON.

use std::fmt::Write as _;

use osmo_engine::units::{bytes, seconds};
use osmo_protocol::events::{GpuSummary, PhaseSummary, Summary};
use serde::Serialize;

const GIB: f64 = (1u64 << 30) as f64;
const MIB: f64 = (1u64 << 20) as f64;

/// Phases that moved less show no rates.
const RATED_BYTES_MIN: u64 = 1 << 20;

/// A whole run.
#[derive(Debug, Serialize)]
pub struct RunReport {
    /// `<name>-<n>`.
    pub workflow_id: String,
    /// How it ended.
    pub status: Status,
    /// The process exit status that goes with it.
    pub code: u8,
    /// Wall time of all tasks, seconds.
    pub duration_s: f64,
    /// In the order in which they ran; tasks after a failure are absent.
    pub tasks: Vec<TaskReport>,
}

/// The end of a workflow, in the service's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Every task completed.
    Completed,
    /// A task failed, or the sidecar did.
    Failed,
    /// The user stopped it.
    FailedCanceled,
    /// The group's `exec_timeout` passed.
    FailedExecTimeout,
}

impl Status {
    /// As the service writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::FailedCanceled => "FAILED_CANCELED",
            Self::FailedExecTimeout => "FAILED_EXEC_TIMEOUT",
        }
    }
}

/// One task, its last attempt.
#[derive(Debug, Serialize)]
pub struct TaskReport {
    /// The task's name.
    pub name: String,
    /// Attempt, from 0.
    pub retry_id: u32,
    /// How it ended.
    pub status: Status,
    /// The command's code, or 2000 + the sidecar's where that is what failed.
    pub code: i32,
    /// A sentence when something failed.
    pub message: String,
    /// Wall time, seconds.
    pub duration_s: f64,
    /// How long the init process took, seconds.
    pub init_s: f64,
    /// What the sidecar did.
    pub sidecar: Summary,
    /// Where the outputs are.
    pub outputs: Vec<String>,
}

impl RunReport {
    /// The table. Ends with a newline.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for task in &self.tasks {
            task.write_text(&mut out);
        }
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{} {} in {} (exit {})",
            self.workflow_id,
            self.status.word(),
            seconds(self.duration_s),
            self.code
        );
        out
    }

    /// One JSON object, on one line, with a newline.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

impl TaskReport {
    fn write_text(&self, out: &mut String) {
        let attempt = match self.retry_id {
            0 => String::new(),
            n => format!(", attempt {}", n + 1),
        };
        let _ =
            writeln!(out, "\n{}{attempt}: {} (code {})", self.name, self.status.word(), self.code);
        if !self.message.is_empty() {
            let _ = writeln!(out, "  {}", self.message);
        }
        let _ = writeln!(
            out,
            "  {:<9} {:>9} {:>8} {:>11} {:>7} {:>10}",
            "phase", "time", "files", "bytes", "GiB/s", "CPU-s/GiB"
        );
        let _ = writeln!(out, "  {:<9} {:>9}", "prepare", seconds(self.init_s));
        for phase in &self.sidecar.phases {
            let _ = writeln!(out, "  {}", row(phase));
        }
        let _ = writeln!(
            out,
            "  sidecar: peak {:.1} MiB RSS, {:.2} CPU-s, {}",
            float(self.sidecar.rss_bytes_peak) / MIB,
            self.sidecar.cpu_s,
            self.sidecar.io_driver
        );
        if let Some(gpu) = &self.sidecar.gpu {
            let _ = writeln!(out, "  {}", gpus(gpu));
        }
        for output in &self.outputs {
            let _ = writeln!(out, "  output: {output}");
        }
    }
}

fn row(phase: &PhaseSummary) -> String {
    let mut row = format!("{:<9} {:>9}", phase.phase.name(), seconds(phase.duration_s));
    if phase.files > 0 {
        let _ = write!(row, " {:>8} {:>11}", phase.files, bytes(phase.bytes));
        // Rates of next to nothing say nothing.
        if phase.bytes >= RATED_BYTES_MIN {
            let gib = float(phase.bytes) / GIB;
            let _ = write!(
                row,
                " {:>7.2} {:>10.2}",
                gib / phase.duration_s.max(1e-9),
                phase.cpu_s / gib
            );
        } else if phase.verified > 0 {
            let _ = write!(row, " {:>7} {:>10}", "", "");
        }
        if phase.verified > 0 {
            let _ = write!(row, "   {} verified", phase.verified);
        }
    }
    row
}

fn gpus(gpu: &GpuSummary) -> String {
    let used = gpu.utilization_mean.map(|share| format!(", {:.0} % busy", share * 100.0));
    let peak = gpu.memory_used_bytes_peak.map(|peak| format!(", peak {} of memory", bytes(peak)));
    let (peak, used) = (peak.unwrap_or_default(), used.unwrap_or_default());
    format!("gpu: {}{peak}{used}", gpu.gpus)
}

// Figures for people: 53 bits are plenty.
#[allow(clippy::cast_precision_loss)]
fn float(n: u64) -> f64 {
    n as f64
}
