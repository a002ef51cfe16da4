//! What an engine can be asked to do.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Access;
use crate::report::JobEvent;

/// Called on an engine thread for each notable [`JobEvent`]; must not block.
pub type Observer = Arc<dyn Fn(JobEvent) + Send + Sync>;

/// One order.
#[derive(Clone)]
pub enum Job {
    /// Objects below a prefix, into a folder.
    Download(DownloadJob),
    /// Files and folders, below a prefix.
    Upload(UploadJob),
    /// Names below a prefix.
    List(ListJob),
}

/// Objects below `remote`, into the existing folder `local`.
#[derive(Clone)]
pub struct DownloadJob {
    /// `s3://bucket[/prefix]`; the other schemes of the contract parse and
    /// are refused as unsupported.
    pub remote: String,
    /// An existing folder.
    pub local: PathBuf,
    /// Keeps only keys whose path below the prefix matches, anchored at its
    /// start as Python's `re.match` does.
    pub regex: Option<String>,
    /// Skip files that are already there with the same content.
    pub resume: bool,
    /// Overrides the engine's own access for this job.
    pub access: Option<Access>,
    /// Told of retries, skips and refusals.
    pub observer: Option<Observer>,
}

/// Local files and folders, below `remote`.
#[derive(Clone)]
pub struct UploadJob {
    /// `s3://bucket[/prefix]`.
    pub remote: String,
    /// Files, folders, or `folder/*` for a folder's content.
    pub local: Vec<PathBuf>,
    /// As for downloads, on the path that follows the prefix.
    pub regex: Option<String>,
    /// Overrides the engine's own access for this job.
    pub access: Option<Access>,
    /// Told of retries, skips and refusals.
    pub observer: Option<Observer>,
}

/// Names below `remote`, handed to `each` as the store pages them.
#[derive(Clone)]
pub struct ListJob {
    /// `s3://bucket[/prefix]`.
    pub remote: String,
    /// As for downloads.
    pub regex: Option<String>,
    /// Stop at the first `/` after the prefix when false.
    pub recursive: bool,
    /// Overrides the engine's own access for this job.
    pub access: Option<Access>,
    /// Receives each object, in the store's order.
    pub each: Arc<dyn Fn(ListedObject) + Send + Sync>,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// The whole key.
    pub key: String,
    /// Size in bytes.
    pub bytes: u64,
    /// The entity tag, quotes included, as the store wrote it.
    pub etag: Option<String>,
    /// Seconds since the epoch.
    pub modified_s: Option<i64>,
}
