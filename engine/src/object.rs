//! One key at one entity tag.

use std::sync::Arc;

use tokio::sync::SemaphorePermit;

use crate::digest::{Expected, PartTable};

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
    /// Checksums where they are known: algorithm in lower case, value in
    /// base64, `-N` behind that of the checksums of N parts.
    pub checksums: Vec<(String, String)>,
    /// Those parts one by one, where the store tells.
    pub parts: Option<Arc<Table>>,
    /// Whether its entity tag is that of encrypted bytes.
    pub encrypted: bool,
}

/// A part table, and the room that it takes.
#[derive(Debug)]
pub struct Table {
    /// What is declared of each part.
    pub table: PartTable,
    /// Given back with the last of its object.
    pub room: SemaphorePermit<'static>,
}

impl Object {
    /// What its bytes are expected to be.
    pub fn expected(&self) -> Expected {
        match &self.parts {
            Some(parts) => parts.table.expected(),
            None => {
                let told = (self.bytes, self.encrypted);
                Expected::of(&self.checksums, self.etag.as_deref(), told)
            }
        }
    }
}
