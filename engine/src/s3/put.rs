//! PUT of an object or of a part, on the ring.
//!
//! There is no `Expect: 100-continue`: it would cost every part a round trip,
//! and a wait for it at stores that never answer it. A store that refuses
//! early is noticed while the body goes out, so that what is wasted is what
//! the socket's buffers hold.

use std::sync::Arc;

use super::checksum::{Proof, Rung};
use super::encode;
use super::fault::Subject;
use super::framing;
use super::get::checksums;
use super::sign::Unsigned;
use crate::error::{Error, ErrorKind, Result};
use crate::job::Encryption;
use crate::mem::{Buffer, Slice};
use crate::net::connection::SendStop;
use crate::net::http1::Method;
use crate::net::{Connection, NetError, Origin, Response};
use crate::s3::Store;
use crate::s3::verdict::Signed;
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
    /// The store must refuse a body that differs.
    pub proof: Proof,
    /// Sent with whole objects, unless the store's options name another.
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
    body_bytes: u64,
    only_new: bool,
    trailed: bool,
    /// The peer spoke before it had the head: nothing it says is a success.
    unsent: bool,
    signed: Signed,
    /// Where the head was, and TLS seals into; `None` while a write is under
    /// way.
    scratch: Option<Buffer>,
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
        let Some(room) = self.scratch.take() else {
            let fault = Error::new(ErrorKind::Internal, "an earlier write of a PUT was given up");
            return (Err(fault), slice.buffer);
        };
        let (sent, buffer, room) = self.connection.send_all(slice, room).await;
        self.scratch = Some(room);
        match sent {
            Ok(()) => {
                self.left = left;
                (Ok(()), buffer)
            }
            Err(SendStop::Failed(fault)) => (Err(self.lost(fault)), buffer),
            Err(SendStop::Answered) => self.early(buffer).await,
        }
    }

    /// Sends what follows a body whose proof is [`Proof::Trailer`]: its
    /// CRC64NVME, base64.
    ///
    /// # Errors
    /// The store's early answer, or the connection's end.
    pub async fn trail(&mut self, crc64nvme: &str) -> Result<()> {
        let scratch = match self.scratch.take() {
            Some(scratch) if self.left == 0 && self.signed.rung == Rung::Trailer => scratch,
            scratch => {
                self.scratch = scratch;
                let sentence = "a PUT got a trailer out of turn";
                return Err(Error::new(ErrorKind::Internal, sentence));
            }
        };
        let end = framing::end(self.body_bytes, crc64nvme);
        let (sent, scratch) = self.connection.send_bytes(end.as_bytes(), scratch).await;
        let (sent, scratch) = match sent {
            Ok(()) => (Ok(()), scratch),
            Err(SendStop::Failed(fault)) => (Err(self.lost(fault)), scratch),
            Err(SendStop::Answered) => self.early(scratch).await,
        };
        self.trailed = sent.is_ok();
        self.scratch = Some(scratch);
        sent
    }

    /// Ends the request where it is; the scratch buffer, unless a write was
    /// given up.
    pub fn abandon(self) -> Option<Buffer> {
        self.scratch
    }

    /// Reads the answer and gives the connection back, and the scratch buffer
    /// unless a write was given up.
    pub async fn finish(mut self) -> (Result<PutDone>, Option<Buffer>) {
        let whole = self.left == 0 && self.trailed == (self.signed.rung == Rung::Trailer);
        let scratch = match self.scratch.take() {
            Some(scratch) if whole => scratch,
            scratch => {
                let sentence = "a PUT got fewer bytes than it announced";
                return (Err(Error::new(ErrorKind::Internal, sentence)), scratch);
            }
        };
        let (done, scratch) = self.conclude(scratch).await;
        (done, Some(scratch))
    }

    async fn conclude(&self, scratch: Buffer) -> (Result<PutDone>, Buffer) {
        let mut response = match self.answer(scratch).await {
            Ok(response) => response,
            Err((fault, scratch)) => return (Err(self.lost(fault)), scratch),
        };
        let head = response.head();
        if head.status != 200 {
            if matches!(head.status, 400..=499 | 501) {
                // Most stores that refuse a request have not read its body,
                // and close once they have said so.
                response.abandon();
            }
            return self.refused(response).await;
        }
        if self.unsent {
            response.abandon();
            return (Err(self.lost(NetError::Unanswered)), response.finish());
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
        let (refusal, buffer) = self.store.explain(response, self.subject(), &self.signed).await;
        if taken {
            return (Err(self.subject().taken()), buffer);
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
        let store = self.store.endpoint.store();
        Subject { store, bucket: &self.bucket, key: &self.key, permission: "s3:PutObject" }
    }
}

impl Store {
    /// Sends the request head, using `scratch` for it; the PUT keeps it for
    /// what it sends and for the answer.
    pub async fn put(
        &self,
        request: &PutRequest,
        scratch: Buffer,
    ) -> std::result::Result<Put, (Error, Buffer)> {
        let here = self.endpoint.here();
        let target = here.target(&request.bucket, &request.key);
        let unsigned = Unsigned {
            method: Method::Put,
            target: &target,
            query: query(request),
            fields: self.put_fields(request),
        };
        let (head, signed) = match self.sign(&unsigned, here.region()) {
            Ok((head, signed)) => {
                let rung = request.proof.rung();
                let head = match rung {
                    Rung::Trailer => head.followed_by(&framing::start(request.body_bytes)),
                    _ => head,
                };
                (head, Signed { rung, ..signed })
            }
            Err(fault) => return Err((fault, scratch)),
        };
        let origin = self.origin(&target.host, here.port());
        let mut connection = origin.connection().await;
        let mut scratch = scratch;
        loop {
            let current = match connection {
                Ok(current) => current,
                Err(fault) => return Err((fault.at(self.endpoint.url()), scratch)),
            };
            let (sent, back) = current.send_head(&head, scratch).await;
            scratch = back;
            match sent {
                // A pooled connection that died has seen none of the body.
                Err(_) if current.is_reused() => connection = origin.connect().await,
                Err(SendStop::Failed(fault)) => {
                    return Err((fault.at(self.endpoint.url()), scratch));
                }
                // An answer before the body began is found by the first write,
                // or by the end of an empty one.
                sent @ (Ok(()) | Err(SendStop::Answered)) => {
                    return Ok(Put {
                        store: self.clone(),
                        origin,
                        connection: current,
                        bucket: Arc::clone(&request.bucket),
                        key: Arc::clone(&request.key),
                        left: request.body_bytes,
                        body_bytes: request.body_bytes,
                        only_new: request.only_new,
                        trailed: false,
                        unsent: sent.is_err(),
                        signed,
                        scratch: Some(scratch),
                    });
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

fn checked(request: &PutRequest) -> Vec<(&'static str, String)> {
    let bytes = request.body_bytes;
    let length = |bytes: u64| ("content-length", bytes.to_string());
    let algorithm = || ("x-amz-sdk-checksum-algorithm", "CRC64NVME".to_owned());
    match &request.proof {
        Proof::Trailer => vec![
            length(framing::framed_bytes(bytes)),
            ("content-encoding", "aws-chunked".to_owned()),
            ("x-amz-decoded-content-length", bytes.to_string()),
            ("x-amz-trailer", framing::TRAILER.to_owned()),
            algorithm(),
        ],
        Proof::Header(crc) => {
            vec![length(bytes), ("x-amz-checksum-crc64nvme", crc.clone()), algorithm()]
        }
        Proof::ContentMd5(md5) => vec![length(bytes), ("content-md5", md5.clone())],
        Proof::None => vec![length(bytes)],
    }
}

impl Store {
    fn put_fields(&self, request: &PutRequest) -> Vec<(&'static str, String)> {
        let mut fields = checked(request);
        fields.extend(self.payer());
        fields.extend(request.only_new.then(|| ("if-none-match", "*".to_owned())));
        if request.part.is_some() {
            return fields;
        }
        // What follows belongs to an object; that of a multipart upload was
        // told when the upload began.
        let options = &self.options;
        let kind = options.content_type.as_ref().or(request.content_type.as_ref());
        fields.extend(kind.map(|kind| ("content-type", kind.clone())));
        let class = options.storage_class.as_ref();
        fields.extend(class.map(|class| ("x-amz-storage-class", class.clone())));
        match &options.encryption {
            None => {}
            Some(Encryption::S3) => fields.push((ENCRYPTION, "AES256".to_owned())),
            Some(Encryption::Kms(key)) => {
                fields.push((ENCRYPTION, "aws:kms".to_owned()));
                let key = key.as_ref();
                fields.extend(key.map(|key| (ENCRYPTION_KEY, key.clone())));
            }
        }
        fields
    }
}

const ENCRYPTION: &str = "x-amz-server-side-encryption";
const ENCRYPTION_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
