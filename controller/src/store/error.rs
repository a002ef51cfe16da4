//! What can go wrong in the store, each with the S3 code a client sees.

use std::io;
use std::path::{Path, PathBuf};

/// A result of the store.
pub type StoreResult<T> = Result<T, StoreError>;

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The bucket does not exist.
    #[error("bucket `{0}` does not exist; create it first")]
    NoSuchBucket(String),
    /// The key does not exist in its bucket.
    #[error("key `{0}` does not exist in this bucket")]
    NoSuchKey(String),
    /// The multipart upload is unknown: never begun, completed or aborted.
    #[error("multipart upload `{0}` does not exist; it was completed, aborted or never begun")]
    NoSuchUpload(String),
    /// The bucket exists already.
    #[error("bucket `{0}` exists already and belongs to you")]
    BucketExists(String),
    /// A bucket with objects or unfinished uploads cannot be deleted.
    #[error("bucket `{0}` still holds objects or uploads; delete them first")]
    BucketNotEmpty(String),
    /// The name breaks the bucket naming rules.
    #[error("`{0}` is no bucket name: use 3 to 63 lower-case letters, digits, dots and hyphens")]
    InvalidBucketName(String),
    /// The key is empty or longer than 1,024 bytes.
    #[error("a key has 1 to 1024 bytes of UTF-8; this one has {0}")]
    KeyLength(usize),
    /// A request value is outside its limits.
    #[error("{0}")]
    InvalidArgument(String),
    /// A condition of the request does not hold.
    #[error("a condition of the request does not hold: {0}")]
    PreconditionFailed(&'static str),
    /// The object is as the client knows it.
    #[error("the object has not changed")]
    NotModified {
        /// Its ETag, unquoted.
        etag: String,
    },
    /// The range starts beyond the object.
    #[error("the range cannot be satisfied: the object has {size} bytes")]
    InvalidRange {
        /// The object's size in bytes.
        size: u64,
    },
    /// The body does not have the digest that the request declares.
    #[error("the body does not match its {algorithm}: declared {declared}, received {received}")]
    BadDigest {
        /// The digest's name.
        algorithm: &'static str,
        /// What the request says.
        declared: String,
        /// What the body has.
        received: String,
    },
    /// The declared digest is not one.
    #[error("the declared {0} is not valid base64 of the right length")]
    InvalidDigest(&'static str),
    /// The payload hash that was signed is not the body's.
    #[error("the body does not match the signed x-amz-content-sha256")]
    PayloadHash,
    /// A chunk of a signed stream has a wrong signature.
    #[error("a chunk of the body does not match its signature")]
    ChunkSignature,
    /// A part of a completion is missing or has another ETag.
    #[error("part {0} was not uploaded, or has another ETag")]
    InvalidPart(i32),
    /// The parts of a completion do not ascend.
    #[error("the parts of a completion must be listed once each, in ascending order")]
    InvalidPartOrder,
    /// A part that is not the last is under 5 MiB.
    #[error("part {number} has {bytes} bytes; every part but the last needs 5 MiB or more")]
    EntityTooSmall {
        /// The part's number.
        number: i32,
        /// Its size.
        bytes: u64,
    },
    /// The body ended early or broke off.
    #[error("the body is incomplete: {0}")]
    IncompleteBody(String),
    /// Another process has this folder open.
    #[error("store folder {} is in use by another process; stop it or choose another folder", .0.display())]
    InUse(PathBuf),
    /// The folder holds something that this store did not write.
    #[error("{}: {reason}; remove the folder or choose another", path.display())]
    Corrupt {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk refused.
    #[error("{step} {}: {source}", path.display())]
    Io {
        /// What was being done, in the present tense.
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A worker thread ended without an answer.
    #[error("a worker thread of the store ended without an answer")]
    Worker,
}

/// Names the step and the path of an I/O error.
pub(super) trait At<T> {
    fn at(self, step: &'static str, path: &Path) -> StoreResult<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, step: &'static str, path: &Path) -> StoreResult<T> {
        self.map_err(|source| StoreError::Io { step, path: path.to_owned(), source })
    }
}
