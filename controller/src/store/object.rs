//! One object: what is known of it, and the data files that hold its bytes.
//!
//! Data files are written once, under a number that is never used again. A
//! reader holds the object, the object holds its files, and a file that has
//! been replaced is unlinked when its last holder lets go: so a GET that began
//! before an overwrite ends with the bytes it began with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::digest::Checksums;

/// What a client says about an object beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// `Content-Type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `Content-Encoding`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    /// `Content-Disposition`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    /// `Cache-Control`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// `x-amz-meta-*`, by lower-case name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// One run of an object's bytes: a data file's number and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The data file's number within its bucket.
    pub file: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What is known of an object; this is what the journal keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectInfo {
    /// Size in bytes.
    pub size: u64,
    /// The ETag, unquoted.
    pub etag: String,
    /// When it became visible, in milliseconds since the epoch.
    pub modified_ms: u64,
    /// What the client said of it.
    #[serde(default)]
    pub attributes: Attributes,
    /// Checksums over the whole object.
    #[serde(default)]
    pub checksums: Checksums,
    /// Its bytes, in order. A multipart object has one segment for each part.
    pub segments: Vec<Segment>,
    /// The multipart upload that made it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<String>,
}

impl ObjectInfo {
    /// When it became visible.
    pub fn modified(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.modified_ms)
    }
}

/// An object that can be read.
#[derive(Debug)]
pub struct Object {
    /// What is known of it.
    pub info: ObjectInfo,
    /// The files of `info.segments`, in the same order.
    pub(super) files: Vec<Arc<DataFile>>,
}

impl Object {
    /// Has the files unlinked when the last reader lets go.
    pub(super) fn doom(&self) {
        for file in &self.files {
            file.doom();
        }
    }
}

/// A data file on disk.
#[derive(Debug)]
pub(super) struct DataFile {
    path: PathBuf,
    doomed: AtomicBool,
}

impl DataFile {
    pub(super) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self { path, doomed: AtomicBool::new(false) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn keep(&self) {
        self.doomed.store(false, Ordering::Release);
    }

    pub(super) fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }
}

impl Drop for DataFile {
    fn drop(&mut self) {
        if !self.doomed.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "leave a replaced data file behind; the next start removes it");
        }
    }
}

/// Milliseconds since the epoch.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
