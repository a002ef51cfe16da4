//! Multipart uploads that were begun and are not known to have ended: what the
//! store may keep of a job that was given up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::lock;

/// Unfinished that are remembered of one job: more than can be under way at once.
const UNFINISHED_MAX: usize = 1_000;

/// An upload that the store may keep, as a request to abort it names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadLeft {
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// The store's name for the upload.
    pub upload_id: String,
}

/// A job's uploads; clones share the list, which outlives the job.
#[derive(Clone, Debug, Default)]
pub struct Unfinished(Arc<Mutex<BTreeMap<String, UploadLeft>>>);

impl Unfinished {
    /// One was begun.
    pub(crate) fn began(&self, bucket: &str, key: &str, upload_id: &str) {
        let mut open = lock(&self.0);
        if open.len() < UNFINISHED_MAX {
            let [bucket, key, upload_id] = [bucket, key, upload_id].map(str::to_owned);
            open.insert(upload_id.clone(), UploadLeft { bucket, key, upload_id });
        }
    }

    /// One was completed or aborted, or the store does not know it.
    pub(crate) fn ended(&self, upload_id: &str) {
        lock(&self.0).remove(upload_id);
    }

    /// Those that the store may keep, were the job to end now.
    #[must_use]
    pub fn left(&self) -> Vec<UploadLeft> {
        lock(&self.0).values().cloned().collect()
    }

    /// Whether nothing is left and nobody can add to it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        Arc::strong_count(&self.0) == 1 && lock(&self.0).is_empty()
    }
}
