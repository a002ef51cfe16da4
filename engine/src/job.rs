//! What an engine can be asked to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Access;
use crate::error::{Error, ErrorKind, Result};
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
    /// Objects below a prefix, removed.
    Delete(DeleteJob),
    /// Whether the access that a transfer needs is there.
    Check(CheckJob),
}

impl Job {
    /// Its own access rules, where it has any.
    pub fn access(&self) -> Option<&Access> {
        match self {
            Self::Download(job) => job.access.as_ref(),
            Self::Upload(job) => job.access.as_ref(),
            Self::List(job) => job.access.as_ref(),
            Self::Delete(job) => job.access.as_ref(),
            Self::Check(job) => job.access.as_ref(),
        }
    }
}

/// Which of the paths below a prefix, or below a local folder, a job is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// Keeps only paths that match, anchored at their start as Python's
    /// `re.match` does.
    pub regex: Option<String>,
    /// Keeps only paths that match one of these globs; all of them without.
    pub include: Vec<String>,
    /// Drops paths that match one of these globs, also included ones.
    pub exclude: Vec<String>,
}

impl Select {
    /// Only what matches `regex`.
    pub fn regex(regex: Option<String>) -> Self {
        Self { regex, ..Self::default() }
    }
}

/// What happens where the target of a transfer is already there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfExists {
    /// It is replaced.
    #[default]
    Overwrite,
    /// It stays, and counts as skipped.
    Skip,
    /// It stays, and the file fails.
    Error,
}

/// What happens to an object that changes while it is downloaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnChange {
    /// It fails, and leaves no file.
    #[default]
    Error,
    /// It is downloaded anew, as it is then; three times at most.
    Restart,
}

/// Whether a job that is killed can be gone on with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Journaling {
    /// Progress is recorded, beside the unfinished files.
    #[default]
    Kept,
    /// It is not, and nothing that was recorded is looked at.
    Without,
}

/// What the store is told beside the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreOptions {
    /// Whoever asks pays (`x-amz-request-payer`).
    pub request_payer: bool,
    /// How the store encrypts what it is sent; its bucket's own rule without.
    pub encryption: Option<Encryption>,
    /// The storage class of what is sent, as the store names it.
    pub storage_class: Option<String>,
    /// The content type of what is sent; by file extension without.
    pub content_type: Option<String>,
}

/// Characters of an option's value.
const OPTION_CHARS_MAX: usize = 1024;

impl StoreOptions {
    /// Whether every value can stand in a request.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for one that is empty, longer than 1,024
    /// characters, or holds anything but printable ASCII.
    pub fn check(&self) -> Result<()> {
        let key = match &self.encryption {
            Some(Encryption::Kms(key)) => key.as_ref(),
            Some(Encryption::S3) | None => None,
        };
        let values = [
            ("content type", self.content_type.as_ref()),
            ("storage class", self.storage_class.as_ref()),
            ("key of the key service", key),
        ];
        for (name, value) in values {
            let Some(value) = value else { continue };
            let printable = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
            if value.trim() != value || value.is_empty() || !printable {
                let sentence = format!(
                    "the {name} {value:?} cannot be sent: name it in printable ASCII, without \
                     spaces around it"
                );
                return Err(Error::new(ErrorKind::Usage, sentence));
            }
            if value.len() > OPTION_CHARS_MAX {
                let sentence =
                    format!("the {name} is longer than {OPTION_CHARS_MAX} characters: shorten it");
                return Err(Error::new(ErrorKind::Usage, sentence));
            }
        }
        Ok(())
    }
}

/// Encryption at the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// With the store's own keys (SSE-S3, `AES256`).
    S3,
    /// With a key of the key service (SSE-KMS); its default key without a
    /// name.
    Kms(Option<String>),
}

/// In which order the files of an upload go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UploadOrder {
    /// As the folders list them; the first goes while the rest is looked for.
    #[default]
    AsFound,
    /// The smallest first, for whoever may not have the time for all; exact but
    /// for the 32 that are under way at once. The tree is walked whole before the first goes; what exceeds the 65,536 smallest
    /// follows as it is found.
    SmallestFirst,
}

/// A state of a local file; another size, time or inode is another state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalFile<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// Its size.
    pub bytes: u64,
    /// When it was written last: seconds since the epoch, and nanoseconds.
    pub modified: (i64, i64),
    /// When it was changed last: seconds since the epoch, and nanoseconds.
    pub changed: (i64, i64),
    /// Device and inode.
    pub inode: (u64, u64),
}

/// Whoever knows which files of an upload are in the store already.
pub trait Ledger: Send + Sync {
    /// Whether a file that was found is to go. Called on the walker's thread,
    /// perhaps more than once; what is left out is not counted.
    fn wants(&self, file: &LocalFile<'_>) -> bool;
    /// The store has a file in this state. Called on an engine thread; must
    /// not block for long.
    fn sent(&self, file: &LocalFile<'_>);
}

/// Objects below `remote`, into the existing folder `local`.
#[derive(Clone, Default)]
pub struct DownloadJob {
    /// `s3://bucket[/prefix]`, or `gs://`, `tos://`, `swift://`; `azure://` is
    /// refused as unsupported.
    pub remote: String,
    /// An existing folder.
    pub local: PathBuf,
    /// Which of them.
    pub select: Select,
    /// Skip files that are already there with the same content.
    pub resume: bool,
    /// Whether progress is recorded, and an earlier run's gone on with.
    pub journal: Journaling,
    /// What happens to a target that is already there.
    pub if_exists: IfExists,
    /// What happens to an object that changes meanwhile.
    pub on_change: OnChange,
    /// A file that can be compared with nothing fails, and does not appear.
    pub require_verified: bool,
    /// Plan and count, and tell each file as an event; move nothing.
    pub dry_run: bool,
    /// Bytes a second over all of the job's connections, at most.
    pub limit_bytes_per_s: Option<u64>,
    /// What the store is told beside the bytes.
    pub store: StoreOptions,
    /// Overrides the engine's own access for this job.
    pub access: Option<Access>,
    /// Told of retries, skips and refusals.
    pub observer: Option<Observer>,
}

/// Local files and folders, below `remote`.
#[derive(Clone, Default)]
pub struct UploadJob {
    /// `s3://bucket[/prefix]`.
    pub remote: String,
    /// Files, folders, or `folder/*` for a folder's content.
    pub local: Vec<PathBuf>,
    /// Which of them, by the path that follows the prefix.
    pub select: Select,
    /// Folders, one of which every file must lie in, wherever links lead; any
    /// will do without. For whoever uploads what others may write, and can read
    /// more than they.
    pub within: Vec<PathBuf>,
    /// In which order they go.
    pub order: UploadOrder,
    /// Who decides on each of them, and is told which are in the store.
    pub ledger: Option<Arc<dyn Ledger>>,
    /// What happens to a target that is already there.
    pub if_exists: IfExists,
    /// A file whose arrival the store confirms by no checksum fails; the object
    /// stays in the store.
    pub require_verified: bool,
    /// Plan and count, and tell each file as an event; move nothing.
    pub dry_run: bool,
    /// Bytes a second over all of the job's connections, at most.
    pub limit_bytes_per_s: Option<u64>,
    /// What the store is told beside the bytes.
    pub store: StoreOptions,
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
    /// Which of them.
    pub select: Select,
    /// Stop at the first `/` after the prefix when false.
    pub recursive: bool,
    /// What the store is told beside the question.
    pub store: StoreOptions,
    /// Overrides the engine's own access for this job.
    pub access: Option<Access>,
    /// Receives each object, in the store's order.
    pub each: Arc<dyn Fn(ListedObject) + Send + Sync>,
}

/// Objects at or below `remote`, removed from the store.
#[derive(Clone, Default)]
pub struct DeleteJob {
    /// `s3://bucket[/prefix]`.
    pub remote: String,
    /// Which of them.
    pub select: Select,
    /// Count, and tell each object as an event; remove nothing.
    pub dry_run: bool,
    /// What the store is told beside the names.
    pub store: StoreOptions,
    /// Overrides the engine's own access for this job.
    pub access: Option<Access>,
    /// Told of retries and refusals.
    pub observer: Option<Observer>,
}

/// Whether `remote` may be used as `purpose` says. Ends well when it may, and
/// with the reason as its error when not.
#[derive(Clone, Default)]
pub struct CheckJob {
    /// `s3://bucket[/prefix]`.
    pub remote: String,
    /// What it would be used for; without, only whether the bucket answers.
    pub purpose: Option<Purpose>,
    /// What the store is told with every request.
    pub store: StoreOptions,
    /// Overrides the engine's own access for this job.
    pub access: Option<Access>,
}

/// What access is checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Objects are read.
    Read,
    /// Objects are written, and read.
    Write,
    /// Objects are removed.
    Delete,
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
