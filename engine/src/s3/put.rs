//! PUT of an object or of a part, on the ring.

use std::sync::Arc;

use crate::error::Result;
use crate::mem::{Buffer, Slice};
use crate::s3::Store;

/// What to put.
#[derive(Clone, Debug)]
pub struct PutRequest {
    /// The bucket.
    pub bucket: Arc<str>,
    /// The whole key.
    pub key: Arc<str>,
    /// `(upload id, part number)` for a part of a multipart upload.
    pub part: Option<(Arc<str>, i32)>,
    /// The exact body length.
    pub body_bytes: u64,
    /// CRC64NVME of the body, base64; the store must refuse a body that
    /// differs.
    pub crc64nvme: String,
    /// Sent with whole objects.
    pub content_type: Option<String>,
}

/// What the store answered.
#[derive(Clone, Debug, Default)]
pub struct PutDone {
    /// The entity tag, quotes included.
    pub etag: Option<String>,
    /// Checksums the store computed: algorithm in lower case, base64 value.
    pub checksums: Vec<(String, String)>,
}

/// A PUT whose head is sent.
pub struct Put {}

impl Put {
    /// Sends all of the slice. An error may be the store's early answer.
    pub async fn write(&mut self, _slice: Slice) -> (Result<()>, Buffer) {
        todo!()
    }

    /// Reads the answer into `scratch` and gives the connection back.
    pub async fn finish(self, _scratch: Buffer) -> (Result<PutDone>, Buffer) {
        todo!()
    }
}

impl Store {
    /// Sends the request head, using `scratch` for it.
    pub async fn put(&self, _request: &PutRequest, _scratch: Buffer) -> (Result<Put>, Buffer) {
        todo!()
    }
}
