//! PUT of an object or of a part, on the ring.

use std::sync::Arc;

use super::encode;
use super::fault::Subject;
use super::get::checksums;
use super::sign::Unsigned;
use crate::error::{Error, ErrorKind, Result};
use crate::mem::{Buffer, Slice};
use crate::net::connection::SendStop;
use crate::net::http1::Method;
use crate::net::{Connection, NetError, Origin, Response};
use crate::s3::Store;
use std::rc::Rc;

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
    /// Refuse to replace an object (`If-None-Match: *`); refused with
    /// [`ErrorKind::Exists`].
    pub only_new: bool,
}

/// What the store answered.
#[derive(Clone, Debug, Default)]
pub struct PutDone {
    /// The entity tag, quotes included.
    pub etag: Option<String>,
    /// Checksums the store computed: algorithm in lower case, base64 value.
    pub checksums: Vec<(String, String)>,
}

/// A PUT whose head is sent. Dropped before [`Put::finish`], it closes its
/// connection, and the store forgets the request.
pub struct Put {
    store: Store,
    origin: Rc<Origin>,
    connection: Connection,
    bucket: Arc<str>,
    key: Arc<str>,
    left: u64,
    only_new: bool,
}

impl Put {
    /// Sends all of the slice. An error may be the store's early answer; the
    /// buffer's content is then used up.
    pub async fn write(&mut self, slice: Slice) -> (Result<()>, Buffer) {
        let bytes = (slice.end - slice.start) as u64;
        let Some(left) = self.left.checked_sub(bytes) else {
            let fault = Error::new(ErrorKind::Internal, "a PUT got more bytes than it announced");
            return (Err(fault), slice.buffer);
        };
        let (sent, buffer) = self.connection.send_all(slice).await;
        match sent {
            Ok(()) => {
                self.left = left;
                (Ok(()), buffer)
            }
            Err(SendStop::Failed(fault)) => (Err(self.lost(fault)), buffer),
            Err(SendStop::Answered) => self.early(buffer).await,
        }
    }

    /// Reads the answer into `scratch` and gives the connection back.
    pub async fn finish(self, scratch: Buffer) -> (Result<PutDone>, Buffer) {
        if self.left > 0 {
            let fault = Error::new(ErrorKind::Internal, "a PUT got fewer bytes than it announced");
            return (Err(fault), scratch);
        }
        let mut response = match self.answer(scratch).await {
            Ok(response) => response,
            Err((fault, scratch)) => return (Err(self.lost(fault)), scratch),
        };
        let head = response.head();
        if head.status != 200 {
            if (400..500).contains(&head.status) {
                // Most stores that refuse a request have not read its body,
                // and close once they have said so.
                response.abandon();
            }
            return self.refused(response).await;
        }
        let etag = head.field("etag").map(str::to_owned);
        let done = PutDone { etag, checksums: checksums(head) };
        // Empty, but for a store that explains its success.
        let (_, scratch) = response.finish_with_text(super::ERROR_BODY_BYTES_MAX).await;
        (Ok(done), scratch)
    }

    /// The store has answered before it had the body: only a refusal can be.
    async fn early(&self, buffer: Buffer) -> (Result<()>, Buffer) {
        let mut response = match self.answer(buffer).await {
            Ok(response) => response,
            Err((fault, buffer)) => return (Err(self.lost(fault)), buffer),
        };
        response.abandon();
        if (200..300).contains(&response.head().status) {
            return (Err(self.lost(NetError::Unanswered)), response.finish());
        }
        self.refused(response).await
    }

    async fn refused<T>(&self, response: Response) -> (Result<T>, Buffer) {
        let taken = self.only_new && response.head().status == 412;
        let (refusal, buffer) = self.store.explain(response, self.subject()).await;
        if taken {
            let sentence = format!("{} is already in the store", self.subject());
            return (Err(Error::new(ErrorKind::Exists, sentence)), buffer);
        }
        (Err(refusal), buffer)
    }

    async fn answer(&self, scratch: Buffer) -> std::result::Result<Response, (NetError, Buffer)> {
        let (arrived, scratch) = self.connection.read_head(Method::Put, scratch).await;
        match arrived {
            Ok(arrived) => {
                Ok(Response::new(&self.origin, self.connection.clone(), arrived, scratch))
            }
            Err(fault) => Err((fault, scratch)),
        }
    }

    fn lost(&self, fault: NetError) -> Error {
        fault.at(self.store.endpoint.url())
    }

    fn subject(&self) -> Subject<'_> {
        Subject { bucket: &self.bucket, key: &self.key, permission: "s3:PutObject" }
    }
}

impl Store {
    /// Sends the request head, using `scratch` for it.
    pub async fn put(&self, request: &PutRequest, scratch: Buffer) -> (Result<Put>, Buffer) {
        let target = self.endpoint.target(&request.bucket, &request.key);
        let unsigned = Unsigned {
            method: Method::Put,
            target: &target,
            query: query(request),
            fields: fields(request),
        };
        let head = match self.sign(&unsigned) {
            Ok(head) => head,
            Err(fault) => return (Err(fault), scratch),
        };
        let origin = self.origin(&target.host);
        let mut connection = origin.connection().await;
        let mut scratch = scratch;
        loop {
            let current = match connection {
                Ok(current) => current,
                Err(fault) => return (Err(fault.at(self.endpoint.url())), scratch),
            };
            let (sent, back) = current.send_head(&head, scratch).await;
            scratch = back;
            match sent {
                // A pooled connection that died has seen none of the body.
                Err(_) if current.is_reused() => connection = origin.connect().await,
                Err(SendStop::Failed(fault)) => {
                    return (Err(fault.at(self.endpoint.url())), scratch);
                }
                // An answer before the body began is found by the first write,
                // or by the end of an empty one.
                Ok(()) | Err(SendStop::Answered) => {
                    let put = Put {
                        store: self.clone(),
                        origin,
                        connection: current,
                        bucket: Arc::clone(&request.bucket),
                        key: Arc::clone(&request.key),
                        left: request.body_bytes,
                        only_new: request.only_new,
                    };
                    return (Ok(put), scratch);
                }
            }
        }
    }
}

fn query(request: &PutRequest) -> String {
    request.part.as_ref().map_or_else(String::new, |(upload, number)| {
        format!("partNumber={number}&uploadId={}", encode::value(upload))
    })
}

fn fields(request: &PutRequest) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("content-length", request.body_bytes.to_string()),
        ("x-amz-checksum-crc64nvme", request.crc64nvme.clone()),
        ("x-amz-sdk-checksum-algorithm", "CRC64NVME".to_owned()),
    ];
    if let (None, Some(kind)) = (&request.part, &request.content_type) {
        fields.push(("content-type", kind.clone()));
    }
    if request.only_new {
        fields.push(("if-none-match", "*".to_owned()));
    }
    fields
}
