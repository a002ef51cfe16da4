//! The logger WebSocket: what the sidecar says and what the service answers.
//!
//! A client message is one text frame whose payload is a JSON *string* that
//! holds JSON ([`ClientFrame::encode`]). The service answers with plain JSON
//! objects, `log_done` in a text frame and every other action in a binary one.

use percent_encoding::utf8_percent_encode;
use serde::{Deserialize, Serialize};

/// What the sidecar sends.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ClientFrame {
    /// A log line, or `LOG_DONE` with an empty text.
    Line(Line),
    /// A member of the group has its inputs.
    Barrier(Barrier),
    /// Times and sizes of a phase.
    Metrics(Metrics),
}

/// One log line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Line {
    /// The task's name.
    pub source: String,
    /// RFC 3339 with nanoseconds, UTC.
    pub time: String,
    /// The line, without its newline.
    pub text: String,
    /// Where it comes from.
    #[serde(rename = "IOType")]
    pub io_type: LineType,
}

/// Origin of a line; `LogDone` asks for an acknowledgement instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LineType {
    /// The command's standard output.
    Stdout,
    /// The command's standard error.
    Stderr,
    /// The sidecar's own words.
    OsmoCtrl,
    /// The input transfer.
    Download,
    /// The output transfer.
    Upload,
    /// Answered with `log_done` after everything before it was stored.
    LogDone,
}

/// `{"Name":"osmo-group-ready","Count":-1,"IOType":"BARRIER"}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Barrier {
    /// `osmo-group-ready`.
    pub name: String,
    /// Members to wait for; −1 lets the service count the active ones.
    pub count: i64,
    /// Always `BARRIER`.
    #[serde(rename = "IOType")]
    pub io_type: BarrierType,
}

/// The one value of [`Barrier::io_type`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BarrierType {
    /// `BARRIER`
    #[default]
    #[serde(rename = "BARRIER")]
    Barrier,
}

/// A metric; its shape must be exact, or the service stops reading.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metrics {
    /// The task's name.
    pub source: String,
    /// As [`Line::time`].
    pub time: String,
    /// Always `METRICS`.
    #[serde(rename = "IOType")]
    pub io_type: MetricsType,
    /// The payload with its `MetricType`.
    #[serde(flatten)]
    pub metric: Metric,
}

/// The one value of [`Metrics::io_type`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetricsType {
    /// `METRICS`
    #[default]
    #[serde(rename = "METRICS")]
    Metrics,
}

/// The two kinds of metric. Times are `2026-01-02 03:04:05.000`, UTC.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "MetricType", content = "Metric", rename_all = "snake_case")]
pub enum Metric {
    /// When the inputs or outputs of the task moved.
    GroupMetrics {
        /// Attempt, as text.
        retry_id: String,
        /// Begin.
        start_time: String,
        /// End.
        end_time: String,
        /// Which phase.
        type_of_metrics: GroupMetricType,
    },
    /// One transfer.
    TaskIoMetrics {
        /// Attempt, as text.
        retry_id: String,
        /// Group name.
        group_name: String,
        /// Task name.
        task_name: String,
        /// A storage URI, or empty.
        url: String,
        /// `INPUT`, `OUTPUT`, `RSYNC_INPUT`, …
        #[serde(rename = "type")]
        io_type: String,
        /// Begin.
        start_time: String,
        /// End.
        end_time: String,
        /// Bytes moved.
        size_in_bytes: u64,
        /// Files moved.
        number_of_files: u64,
        /// `Url`, `Task` or empty.
        operation_type: String,
        /// `download` or `N/A`.
        download_type: String,
    },
}

/// Phases with a group metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupMetricType {
    /// Inputs.
    InputDownload,
    /// Outputs.
    OutputUpload,
}

impl ClientFrame {
    /// The payload of the text frame: JSON in a JSON string.
    pub fn encode(&self) -> String {
        let inner = serde_json::to_string(self).unwrap_or_default();
        serde_json::Value::String(inner).to_string()
    }
}

/// The path to dial.
pub fn logger_path(workflow: &str, task: &str, retry: u32) -> String {
    let quote = |text| utf8_percent_encode(text, crate::token::QUERY);
    format!("/api/logger/workflow/{}/osmo_ctrl/{}/retry_id/{retry}", quote(workflow), quote(task))
}

/// What the service asks for; unknown actions and keys are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Everything before the last `LOG_DONE` is stored.
    LogDone,
    /// The group is complete.
    Barrier,
    /// Run the command again.
    Restart,
    /// Open a terminal.
    Exec {
        /// Where to dial.
        #[serde(flatten)]
        route: Route,
        /// The command line, shell-quoted.
        entry_command: String,
    },
    /// Forward a port.
    #[serde(rename = "portforward")]
    PortForward {
        /// Where to dial.
        #[serde(flatten)]
        route: Route,
        /// The port inside the task.
        task_port: u16,
        /// Datagrams instead of streams.
        #[serde(default)]
        use_udp: bool,
    },
    /// Serve browsers.
    #[serde(rename = "webserver")]
    WebServer {
        /// Where to dial.
        #[serde(flatten)]
        route: Route,
        /// The port inside the task.
        task_port: u16,
    },
    /// Forward to the rsync daemon.
    Rsync {
        /// Where to dial.
        #[serde(flatten)]
        route: Route,
        /// Report the bytes as metrics.
        #[serde(default)]
        enable_telemetry: bool,
    },
    /// Something this version does not know.
    #[serde(other)]
    Unknown,
}

/// The router side of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// `wss://router…`
    pub router_address: String,
    /// `EXEC-<32 hex>` and the like.
    pub key: String,
    /// Passed verbatim as the `Cookie` header.
    #[serde(default)]
    pub cookie: String,
}

impl Action {
    /// Reads a frame of either kind: the service is free to send an action as
    /// text or as binary. An action of a later version is [`Action::Unknown`].
    ///
    /// # Errors
    ///
    /// The payload is not a JSON object with an `action`, or a known action
    /// lacks a key.
    pub fn decode(payload: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(payload)
    }

    /// The payload as the service writes it, to the byte.
    pub fn encode(&self) -> String {
        crate::python::to_string(self)
    }
}
