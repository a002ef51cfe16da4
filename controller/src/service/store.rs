//! What is kept of logs and metrics, in the shape in which the real service
//! keeps it.

use serde::{Serialize, Serializer};
use std::collections::VecDeque;
use std::sync::Arc;

/// One stored line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogEntry {
    /// As sent; not checked against the task.
    pub source: String,
    /// Attempt of the connection, as text.
    pub retry_id: String,
    /// ISO 8601, cut to microseconds, with the sender's offset.
    pub time: String,
    /// Masked text.
    #[serde(serialize_with = "plain")]
    pub text: Arc<str>,
    /// `STDOUT`, …
    pub io_type: &'static str,
}

impl LogEntry {
    /// What counts against the limit: all that the sender chooses.
    fn bytes(&self) -> usize {
        self.source.len() + self.time.len() + self.text.len()
    }
}

fn plain<S: Serializer>(text: &Arc<str>, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(text)
}

/// One reported transfer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskIo {
    /// Group name.
    pub group_name: String,
    /// Task name.
    pub task_name: String,
    /// Attempt.
    pub retry_id: i64,
    /// Storage URI, or empty.
    pub url: String,
    /// `INPUT`, `OUTPUT`, …: free text.
    #[serde(rename = "type")]
    pub kind: String,
    /// The part of `url` that names the container.
    pub storage_bucket: String,
    /// Begin.
    pub start_time: String,
    /// End.
    pub end_time: String,
    /// GiB.
    pub size: f64,
    /// `Url`, `Task` or empty.
    pub operation_type: String,
    /// How the bytes moved.
    pub download_type: String,
    /// Files moved.
    pub number_of_files: i64,
}

/// Begin and end of a task's transfers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TaskTimes {
    /// First input.
    pub input_download_start_time: Option<String>,
    /// Last input.
    pub input_download_end_time: Option<String>,
    /// First output.
    pub output_upload_start_time: Option<String>,
    /// Last output.
    pub output_upload_end_time: Option<String>,
}

/// A bounded stream of lines; the oldest go first.
pub(crate) struct LogStream {
    entries: VecDeque<LogEntry>,
    bytes: usize,
    lines_kept: usize,
    lines_slack: usize,
    bytes_max: usize,
    /// Lines that came before the oldest kept.
    dropped: u64,
}

impl LogStream {
    /// Keeps `lines_kept`, and lets `lines_slack` more gather before it trims.
    pub(crate) fn new(lines_kept: usize, lines_slack: usize, bytes_max: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, lines_kept, lines_slack, bytes_max, dropped: 0 }
    }

    pub(crate) fn push(&mut self, entry: LogEntry) {
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        if self.entries.len() > self.lines_kept + self.lines_slack {
            while self.entries.len() > self.lines_kept {
                self.drop_oldest();
            }
        }
        while self.bytes > self.bytes_max && self.entries.len() > 1 {
            self.drop_oldest();
        }
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &LogEntry> {
        self.entries.iter()
    }

    /// The number of the first of the `last` newest lines, or of the oldest.
    pub(crate) fn first(&self, last: Option<usize>) -> u64 {
        let skipped = last.map_or(0, |last| self.entries.len().saturating_sub(last));
        self.dropped + skipped as u64
    }

    /// At most `max` lines from number `from` on, and the number after them.
    pub(crate) fn from(&self, from: u64, max: usize) -> (Vec<LogEntry>, u64) {
        let from = from.max(self.dropped);
        let skipped = usize::try_from(from - self.dropped).unwrap_or(usize::MAX);
        let lines: Vec<LogEntry> = self.entries.iter().skip(skipped).take(max).cloned().collect();
        let next = from + lines.len() as u64;
        (lines, next)
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.bytes();
            self.dropped += 1;
        }
    }
}
