//! What a job tells while it runs and when it ended.

use std::time::Duration;

use serde::Serialize;

use crate::error::ErrorKind;

/// A snapshot of a running job; cheap to take at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Whether planning has ended, so that the totals are final.
    pub planned: bool,
    /// Files planned so far.
    pub files_total: u64,
    /// Files that are visible at their destination.
    pub files_done: u64,
    /// Bytes planned so far.
    pub bytes_total: u64,
    /// Bytes written (download) or acknowledged (upload).
    pub bytes_done: u64,
    /// Attempts that failed and were repeated.
    pub retries: u64,
}

/// What a dry run says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It would come down.
    Download,
    /// It would go up.
    Upload,
    /// It would be removed.
    Delete,
    /// It would stay, because its target is there.
    Skip,
}

/// Something a person wants to read while a job runs.
#[derive(Clone, Debug)]
pub enum JobEvent {
    /// A request failed and is tried again.
    Retry {
        /// The object's key.
        key: String,
        /// Which attempt failed, from 1.
        attempt: u32,
        /// Wait before the next one.
        wait: Duration,
        /// Why it failed.
        reason: String,
    },
    /// A dry run's word on one file. Everything else of a job may be missed
    /// without harm; these are its result.
    Would {
        /// What would happen.
        action: Action,
        /// The object's key.
        key: String,
        /// Its size.
        bytes: u64,
    },
    /// A file was left out or given up, with the reason.
    Failed(FileFailure),
    /// A remark on the whole job (fallback taken, checksum unavailable, …).
    Note(String),
}

/// A file that did not make it.
#[derive(Clone, Debug, Serialize)]
pub struct FileFailure {
    /// The object's key, or the local path of an upload.
    pub name: String,
    /// Its class.
    #[serde(skip)]
    pub kind: ErrorKind,
    /// The sentence.
    pub reason: String,
}

/// How a job ended, counted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Wall time, seconds.
    pub duration_s: f64,
    /// Files that are now visible at their destination.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that an earlier run of the same job, which did not come to its end,
    /// had fetched already; they were not fetched again.
    pub bytes_resumed: u64,
    /// Files that were already there and stayed (`--resume`, `--if-exists
    /// skip`, or published by an earlier run of the same job).
    pub files_skipped: u64,
    /// Objects that were removed.
    pub files_deleted: u64,
    /// Files that a dry run would have moved or removed.
    pub files_planned: u64,
    /// Their bytes.
    pub bytes_planned: u64,
    /// The first [`FAILURES_KEPT`] failures.
    pub failures: Vec<FileFailure>,
    /// All failures, kept or not.
    pub failures_total: u64,
    /// Attempts that failed and were repeated.
    pub retries: u64,
    /// Requests that stalled, and were overtaken by a second one for the rest.
    pub hedges: u64,
    /// How the bytes were checked.
    pub verification: Verification,
    /// CPU and memory of this process over the job.
    pub usage: Usage,
}

/// Failures that a report keeps; the rest is counted.
pub const FAILURES_KEPT: usize = 100;

/// How many files were checked against what the store declares.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// Files that match, by algorithm (`crc64nvme`, `crc32c`, …).
    pub verified: std::collections::BTreeMap<&'static str, u64>,
    /// Files for which the store declares nothing that can be compared.
    pub unverifiable: u64,
    /// The same, by reason.
    pub unverifiable_reasons: std::collections::BTreeMap<&'static str, u64>,
}

/// How one file was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It matches, by this algorithm.
    Verified(&'static str),
    /// It could be compared with nothing, for this reason.
    Unverifiable(&'static str),
}

/// What a job cost.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Usage {
    /// User plus system CPU seconds of this process during the job.
    pub cpu_s: f64,
    /// Highest resident set of this process so far, bytes (`VmHWM`).
    pub rss_bytes_peak: u64,
}

/// Which driver was chosen, and why.
#[derive(Clone, Debug, Serialize)]
pub struct IoReport {
    /// `uring` or `epoll`.
    pub driver: &'static str,
    /// One sentence; names the refusal when `auto` fell back.
    pub reason: String,
    /// Whether `auto` wanted another one.
    pub fell_back: bool,
}
