//! What the sidecar tells a local runner on its standard output when started
//! with `-events json`: one JSON object a line.

use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum SidecarEvent {
    /// The lifecycle entered a phase.
    Phase {
        /// The new phase.
        phase: Phase,
        /// Milliseconds since the sidecar started.
        at_ms: u64,
    },
    /// Where a running transfer stands; at most ten a second.
    Transfer {
        /// Download or Upload.
        phase: Phase,
        /// The item as the user knows it (URL or task name).
        item: String,
        /// Files done.
        files_done: u64,
        /// Files planned so far.
        files_total: u64,
        /// Bytes done.
        bytes_done: u64,
        /// Bytes planned so far.
        bytes_total: u64,
    },
    /// What is in the output folder while the command runs; at most every 10 s,
    /// when it has changed.
    Outputs {
        /// Files.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// The one that was written last, below the folder; empty for none.
        newest: String,
    },
    /// The last line: how it all went.
    Summary(Summary),
}

/// The phases that the outside sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Connecting to service and agent.
    Init,
    /// Inputs are moving.
    Download,
    /// The user's command runs.
    Run,
    /// Outputs are moving.
    Upload,
    /// Ended well.
    Done,
    /// Ended with a failure of the sidecar.
    Failed,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::Init, Self::Download, Self::Run, Self::Upload, Self::Done, Self::Failed];

    /// As events and metrics call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Download => "download",
            Self::Run => "run",
            Self::Upload => "upload",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// What a task pod did, phase by phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The sidecar's exit code (`exit.rs`).
    pub code: u8,
    /// A sentence when `code` is not 0.
    pub message: String,
    /// The command's exit code, when it ran.
    pub command_code: Option<i32>,
    /// Phases in order.
    pub phases: Vec<PhaseSummary>,
    /// Highest resident set of the sidecar, bytes.
    pub rss_bytes_peak: u64,
    /// CPU seconds of the sidecar.
    pub cpu_s: f64,
    /// `uring` or `epoll`.
    pub io_driver: String,
    /// Absent where there is no GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuSummary>,
    /// What it still held at the end.
    #[serde(default)]
    pub left: Left,
    /// Lines that were dropped, for want of room until the service took them.
    #[serde(default)]
    pub lines_dropped: u64,
    /// Unfinished uploads that the store may keep; absent where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<UnfinishedUpload>,
}

/// A multipart upload that nobody is known to have ended, as a request to abort
/// it names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfinishedUpload {
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// The store's name for the upload.
    pub upload_id: String,
}

/// What the sidecar still held when all was over. Each is 0, but for `lines`
/// where the service is what is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Sessions that were open.
    pub sessions: u64,
    /// Connections of sessions.
    pub connections: u64,
    /// Seats of the sessions' table.
    pub seats: u64,
    /// Transfers under way.
    pub transfers: u64,
    /// Lines that the service has not acknowledged.
    pub lines: u64,
    /// Buffers of the engine that were not returned.
    pub buffers: u64,
    /// Tasks of the runtime.
    pub tasks: u64,
    /// Processes that it started.
    pub children: u64,
    /// Files that were not open at the begin.
    pub files: u64,
}

impl Left {
    /// Names and numbers, in order.
    #[must_use]
    pub fn each(&self) -> [(&'static str, u64); 9] {
        [
            ("sessions", self.sessions),
            ("connections", self.connections),
            ("seats", self.seats),
            ("transfers", self.transfers),
            ("lines", self.lines),
            ("buffers", self.buffers),
            ("tasks", self.tasks),
            ("children", self.children),
            ("files", self.files),
        ]
    }
}

/// The GPUs beside the task while its command ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GpuSummary {
    /// How many.
    pub gpus: usize,
    /// Most memory in use at once, of all together.
    pub memory_used_bytes_peak: Option<u64>,
    /// Share of time in which a kernel ran, 0 to 1, mean of all.
    pub utilization_mean: Option<f64>,
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseSummary {
    /// Which.
    pub phase: Phase,
    /// Wall time.
    pub duration_s: f64,
    /// Bytes moved.
    pub bytes: u64,
    /// Files moved.
    pub files: u64,
    /// CPU seconds of the sidecar within the phase.
    pub cpu_s: f64,
    /// Files that match a checksum of the store.
    pub verified: u64,
}
