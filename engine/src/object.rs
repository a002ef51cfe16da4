//! One key at one entity tag.

use std::sync::Arc;

/// An object that is to be downloaded.
#[derive(Clone, Debug)]
pub struct Object {
    /// The bucket.
    pub bucket: Arc<str>,
    /// The whole key.
    pub key: Arc<str>,
    /// Where it goes, relative to the destination; already checked by
    /// [`crate::path::local`].
    pub path: Arc<str>,
    /// Size in bytes.
    pub bytes: u64,
    /// The entity tag, quotes included.
    pub etag: Option<Arc<str>>,
    /// Full-object checksums where they are known: algorithm in lower case,
    /// value in base64.
    pub checksums: Vec<(String, String)>,
    /// Whether its entity tag is that of encrypted bytes.
    pub encrypted: bool,
}
