//! GET, ranged or whole, on the ring.

use std::ops::Range as Span;
use std::sync::Arc;

use super::fault::Subject;
use super::sign::Unsigned;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::mem::Buffer;
use crate::net::http1::{Body, Method, ResponseHead};
use crate::net::{NetError, Response};
use crate::range::Range;
use crate::s3::{Endpoint, Store};

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

impl GetRequest {
    /// The same for `[from, end)`, the rest of what it asks for; `None` where
    /// nothing would keep the two to one version.
    pub fn rest(&self, from: u64, end: u64) -> Option<Self> {
        if from == self.range.map_or(0, |range| range.start) {
            return Some(self.clone());
        }
        self.etag.as_ref()?;
        #[cfg(feature = "mutants")]
        let from = from - u64::from(crate::sim::plants(crate::sim::Mutant::WrongOffset));
        Some(Self { range: Some(Range::new(from, end)?), ..self.clone() })
    }
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
    /// Declared checksums: algorithm in lower case, value in base64, `-N` behind
    /// that of the checksums of N parts.
    pub checksums: Vec<(String, String)>,
    /// Whether the entity tag is that of encrypted bytes.
    pub encrypted: bool,
}

/// A response body, read into the caller's buffers.
pub struct GetBody {
    head: GetHead,
    response: Response,
    left: u64,
    endpoint: Arc<Endpoint>,
}

/// A result that gives the scratch buffer back when it failed.
pub type Given2<T> = std::result::Result<T, (Error, Option<Buffer>)>;

impl GetBody {
    /// The checked head.
    pub fn head(&self) -> &GetHead {
        &self.head
    }

    /// Fills **some** of `buffer[into]` with the next bytes; 0 at the end of
    /// the body. A body shorter than its head said is an error.
    pub async fn read(&mut self, buffer: Buffer, into: Span<usize>) -> (Result<usize>, Buffer) {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        if room == 0 {
            return (Ok(0), buffer);
        }
        let (read, buffer) = self.response.read(buffer, into.start..into.start + room).await;
        let read = match read {
            Ok(0) => {
                let cut = crate::net::http1::BodyFault::Truncated(Some(self.left));
                Err(NetError::Body(cut).at(self.endpoint.url()))
            }
            Ok(bytes) => {
                self.left -= bytes as u64;
                Ok(bytes)
            }
            Err(fault) => Err(fault.at(self.endpoint.url())),
        };
        (read, buffer)
    }

    /// Gives the connection back for reuse (only if the body was read to its
    /// end) and the scratch buffer with it.
    pub fn finish(self) -> Buffer {
        self.response.finish()
    }
}

impl Store {
    /// Sends the request and reads the head into `scratch`, which also holds
    /// the first bytes of the body until they are read. Errors carry the class
    /// that retry needs; error bodies are read (bounded) for S3's own code and
    /// message.
    pub async fn get(&self, request: &GetRequest, scratch: Buffer) -> Given2<GetBody> {
        let here = self.endpoint.here();
        let target = here.target(&request.bucket, &request.key);
        let unsigned = match fields(request) {
            Ok(mut fields) => {
                fields.extend(self.payer());
                Unsigned { method: Method::Get, target: &target, query: String::new(), fields }
            }
            Err(fault) => return Err((fault, Some(scratch))),
        };
        let (head, signed) = match self.sign(&unsigned, here.region()) {
            Ok(signed) => signed,
            Err(fault) => return Err((fault, Some(scratch))),
        };
        let origin = self.origin(&target.host, here.port());
        let response = match origin.request(&head, scratch).await {
            Ok(response) => response,
            Err((fault, scratch)) => return Err((fault.at(self.endpoint.url()), Some(scratch))),
        };
        if !matches!(response.head().status, 200 | 206) {
            let (refusal, scratch) =
                self.explain(response, subject(&self.endpoint, request), &signed).await;
            return Err((refusal, Some(scratch)));
        }
        match check(request, response.head(), response.body()) {
            Ok(head) => {
                let (left, endpoint) = (head.body_bytes, Arc::clone(&self.endpoint));
                Ok(GetBody { head, response, left, endpoint })
            }
            Err(misfit) => {
                let fault = at(misfit, &self.endpoint, request);
                Err((fault, Some(response.finish())))
            }
        }
    }
}

fn subject<'a>(endpoint: &'a Endpoint, request: &'a GetRequest) -> Subject<'a> {
    let (store, bucket, key) = (endpoint.store(), &*request.bucket, &*request.key);
    Subject { store, bucket, key, permission: "s3:GetObject" }
}

fn fields(request: &GetRequest) -> Result<Vec<(&'static str, String)>> {
    let mut fields = Vec::with_capacity(2);
    match request.range {
        Some(range) => {
            let header = range.header().ok_or_else(|| {
                Error::new(ErrorKind::Internal, "cannot ask for an empty range of an object")
            })?;
            fields.push(("range", header));
        }
        None => fields.push(("x-amz-checksum-mode", "ENABLED".to_owned())),
    }
    if let Some(etag) = &request.etag {
        fields.push(("if-match", etag.to_string()));
    }
    Ok(fields)
}

/// Why a success is none.
#[derive(Debug, PartialEq, Eq)]
enum Misfit {
    /// Another range, or length, than asked for.
    Range(String),
    /// Another version than asked for.
    Version,
}

fn at(misfit: Misfit, endpoint: &Endpoint, request: &GetRequest) -> Error {
    let (url, subject) = (endpoint.url(), subject(endpoint, request));
    match misfit {
        Misfit::Version => Error::new(
            ErrorKind::Changed,
            format!("{subject} changed while it was read: let its writer finish, then try again"),
        ),
        Misfit::Range(what) => Error::new(
            ErrorKind::Protocol,
            format!("{url} answered the request for {subject} with {what}: it is no S3 store, or a proxy before it is broken"),
        )
        .in_class(RetryClass::Retry),
    }
}

fn check(
    request: &GetRequest,
    head: &ResponseHead,
    body: &Body,
) -> std::result::Result<GetHead, Misfit> {
    let framed = match body {
        Body::Length { left } => Some(*left),
        Body::Chunked(_) | Body::UntilClose => None,
    };
    let (body_bytes, object_bytes) = match (request.range, head.status) {
        (Some(asked), 206) => partial(asked, head)?,
        (Some(asked), _) => match framed {
            // A store may answer a range that is the whole object with all of it.
            Some(bytes) if asked.start == 0 && bytes == asked.len() => (bytes, Some(bytes)),
            _ => return Err(Misfit::Range("the whole object instead of a range".to_owned())),
        },
        (None, 200) => {
            let bytes =
                framed.ok_or_else(|| Misfit::Range("a body of unknown length".to_owned()))?;
            (bytes, Some(bytes))
        }
        (None, _) => {
            return Err(Misfit::Range("a range instead of the whole object".to_owned()));
        }
    };
    if let Some(framed) = framed
        && framed != body_bytes
    {
        return Err(Misfit::Range(format!("{framed} bytes instead of {body_bytes}")));
    }
    let etag = head.field("etag").map(str::to_owned);
    if let (Some(asked), Some(got)) = (request.etag.as_deref(), etag.as_deref())
        && asked != got
    {
        return Err(Misfit::Version);
    }
    let (checksums, encrypted) = (checksums(head), encrypted(head));
    Ok(GetHead { body_bytes, object_bytes, etag, checksums, encrypted })
}

/// Bytes of the range and of the object.
fn partial(asked: Range, head: &ResponseHead) -> std::result::Result<(u64, Option<u64>), Misfit> {
    let field = head.field("content-range").unwrap_or("none");
    match content_range(field) {
        Some((range, total)) if range == asked => Ok((asked.len(), total)),
        _ => Err(Misfit::Range(format!(
            "the range `{field}` instead of `{}-{}`",
            asked.start,
            asked.end.saturating_sub(1)
        ))),
    }
}

/// Parses `bytes 0-99/1234` or `bytes 0-99/*` (RFC 9110 §14.4).
pub fn content_range(field: &str) -> Option<(Range, Option<u64>)> {
    let (span, total) = field.strip_prefix("bytes ")?.trim().split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let range = Range::new(number(first)?, number(last)?.checked_add(1)?)?;
    if range.is_empty() {
        return None;
    }
    let total = match total {
        "*" => None,
        total => Some(number(total).filter(|total| *total >= range.end)?),
    };
    Some((range, total))
}

fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Whether the object was encrypted with a key service's or the caller's key:
/// its entity tag then is no MD5 of its bytes.
pub(super) fn encrypted(head: &ResponseHead) -> bool {
    let by_service =
        head.field("x-amz-server-side-encryption").is_some_and(|how| how.starts_with("aws:kms"));
    by_service || head.field("x-amz-server-side-encryption-customer-algorithm").is_some()
}

/// The checksums that a head declares.
pub(super) fn checksums(head: &ResponseHead) -> Vec<(String, String)> {
    let kind = head.field("x-amz-checksum-type");
    head.fields()
        .filter_map(|(name, value)| Some((name.strip_prefix("x-amz-checksum-")?, value)))
        .filter(|(name, value)| *name != "type" && is_clear(kind, value))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Whether it is told of what a checksum is: of the whole object, or (`…-3`) of
/// the checksums of so many parts.
pub(super) fn is_clear(kind: Option<&str>, value: &str) -> bool {
    value.contains('-') || kind.is_none_or(|kind| kind == "FULL_OBJECT")
}
