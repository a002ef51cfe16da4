//! GET, ranged or whole, on the ring.

use std::ops::Range as Span;
use std::sync::Arc;

use crate::error::Result;
use crate::mem::Buffer;
use crate::range::Range;
use crate::ring::Given;
use crate::s3::Store;

/// What to get.
#[derive(Clone, Debug)]
pub struct GetRequest {
    /// The bucket.
    pub bucket: Arc<str>,
    /// The whole key.
    pub key: Arc<str>,
    /// `None` gets the whole object, with its declared checksums.
    pub range: Option<Range>,
    /// Refuse any other version (`If-Match`).
    pub etag: Option<Arc<str>>,
}

/// What the response head says, already checked against the request: status
/// 200 or 206, the range that was asked for, the length it must have.
#[derive(Clone, Debug, Default)]
pub struct GetHead {
    /// Bytes that follow.
    pub body_bytes: u64,
    /// Size of the whole object where the head tells.
    pub object_bytes: Option<u64>,
    /// The entity tag, quotes included.
    pub etag: Option<String>,
    /// Declared checksums: algorithm in lower case, value in base64.
    pub checksums: Vec<(String, String)>,
}

/// A response body, read into the caller's buffers.
pub struct GetBody {}

impl GetBody {
    /// The checked head.
    pub fn head(&self) -> &GetHead {
        todo!()
    }

    /// Fills **some** of `buffer[into]` with the next bytes; 0 at the end of
    /// the body. A body shorter than its head said is an error.
    pub async fn read(&mut self, _buffer: Buffer, _into: Span<usize>) -> (Result<usize>, Buffer) {
        todo!()
    }

    /// Gives the connection back for reuse (only if the body was read to its
    /// end) and the scratch buffer with it.
    pub fn finish(self) -> Buffer {
        todo!()
    }
}

impl Store {
    /// Sends the request and reads the head into `scratch`, which also holds
    /// the first bytes of the body until they are read. Errors carry the class
    /// that retry needs; error bodies are read (bounded) for S3's own code and
    /// message.
    pub async fn get(&self, _request: &GetRequest, _scratch: Buffer) -> Given2<GetBody> {
        todo!()
    }
}

/// A result that gives the scratch buffer back when it failed.
pub type Given2<T> = std::result::Result<T, (crate::Error, Option<Buffer>)>;

#[allow(dead_code)]
type Unused = Given<(), ()>;
