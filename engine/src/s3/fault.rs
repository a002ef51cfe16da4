//! What a store's refusal means: kind, retry class, and a sentence that names
//! cause and remedy. The same for answers on the ring and through the SDK.

use std::fmt;

use super::checksum::Rung;
use super::endpoint::Endpoint;
use super::xml;
use crate::error::{Error, ErrorKind, RetryClass};
use crate::net::http1::ResponseHead;

/// What the request was about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What stands before the bucket in a URI of this store.
    pub store: &'a str,
    /// The bucket.
    pub bucket: &'a str,
    /// The key or prefix; may be empty.
    pub key: &'a str,
    /// The permission it needs, as AWS names it.
    pub permission: &'static str,
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.store, self.bucket)?;
        if self.key.is_empty() { Ok(()) } else { write!(f, "/{}", self.key) }
    }
}

impl Subject<'_> {
    /// What a refused `If-None-Match: *` means.
    pub fn taken(&self) -> Error {
        let sentence = format!(
            "{self} is already in the store; remove it, or choose --if-exists skip or overwrite"
        );
        Error::new(ErrorKind::Exists, sentence)
    }
}

/// A refusal as the store put it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// The HTTP status.
    pub status: u16,
    /// S3's code, where there is one.
    pub code: Option<String>,
    /// S3's message.
    pub message: Option<String>,
    /// The region that the bucket is in, where the store tells.
    pub region: Option<String>,
    /// The field or argument that it refuses, where the store tells.
    pub about: Option<String>,
}

impl Fault {
    /// Reads a refusal out of an answer; `body` may be cut, empty, or no XML.
    pub fn from_answer(head: &ResponseHead, body: &[u8]) -> Self {
        Self::from_parts(head.status, head.field("x-amz-bucket-region"), body)
    }

    pub(super) fn from_parts(status: u16, region: Option<&str>, body: &[u8]) -> Self {
        let document = String::from_utf8_lossy(body);
        Self {
            status,
            code: xml::text(&document, "Code"),
            message: xml::text(&document, "Message"),
            region: region.map(str::to_owned).or_else(|| xml::text(&document, "Region")),
            about: xml::text(&document, "Header").or_else(|| xml::text(&document, "ArgumentName")),
        }
    }

    /// What it means.
    pub fn kind(&self) -> ErrorKind {
        match self.code.as_deref() {
            Some(
                "SignatureDoesNotMatch"
                | "InvalidAccessKeyId"
                | "AccessDenied"
                | "ExpiredToken"
                | "TokenRefreshRequired"
                | "InvalidToken"
                | "RequestTimeTooSkewed"
                | "AllAccessDisabled"
                | "AccountProblem"
                | "InvalidSecurity"
                | "RequestExpired",
            ) => ErrorKind::Denied,
            Some("NoSuchBucket" | "NoSuchKey" | "NoSuchUpload" | "NoSuchVersion") => {
                ErrorKind::NotFound
            }
            Some(
                "SlowDown"
                | "SlowDownRead"
                | "SlowDownWrite"
                | "ServiceUnavailable"
                | "Throttling"
                | "ThrottlingException"
                | "RequestLimitExceeded"
                | "TooManyRequests"
                | "BandwidthLimitExceeded",
            ) => ErrorKind::Throttled,
            Some("PreconditionFailed" | "InvalidRange") => ErrorKind::Changed,
            Some(
                "BadDigest"
                | "XAmzContentChecksumMismatch"
                | "XAmzContentSHA256Mismatch"
                | "InvalidDigest",
            ) => ErrorKind::Corrupt,
            Some(
                "RequestTimeout"
                | "InternalError"
                | "OperationAborted"
                | "ConditionalRequestConflict",
            ) => ErrorKind::Store,
            Some(
                "PermanentRedirect"
                | "TemporaryRedirect"
                | "Redirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
            ) => ErrorKind::Config,
            Some("NotImplemented" | "MethodNotAllowed") => ErrorKind::Unsupported,
            _ => self.kind_of_status(),
        }
    }

    fn kind_of_status(&self) -> ErrorKind {
        match self.status {
            401 | 403 => ErrorKind::Denied,
            404 => ErrorKind::NotFound,
            412 | 416 => ErrorKind::Changed,
            429 | 503 => ErrorKind::Throttled,
            300..=399 => ErrorKind::Config,
            501 => ErrorKind::Unsupported,
            408 | 500..600 => ErrorKind::Store,
            _ => ErrorKind::Protocol,
        }
    }

    /// Whether it refuses a body for the way in which it is checked, and not
    /// for what it holds: a checksum that does not match is no such refusal.
    pub fn refuses(&self, rung: Rung) -> bool {
        let words: &[&str] = match rung {
            Rung::Trailer => {
                let framing = matches!(
                    self.code.as_deref(),
                    Some(
                        "XAmzContentSHA256Mismatch"
                            | "MalformedTrailerError"
                            | "InvalidChunkSizeError"
                            | "IncompleteBody"
                            | "MissingContentLength"
                    )
                );
                if framing || self.status == 411 {
                    return true;
                }
                &["checksum", "crc64", "trailer", "chunk", "encoding", "content-sha256"]
            }
            Rung::Header => &["checksum", "crc64", "content-md5"],
            Rung::ContentMd5 => &["content-md5", "checksum"],
            Rung::None => return false,
        };
        self.blames(words)
    }

    /// Whether something in the request's form is to blame that one of `words`
    /// names, or that nothing is named for.
    fn blames(&self, words: &[&str]) -> bool {
        let form = match self.code.as_deref() {
            Some(code) => matches!(
                code,
                "NotImplemented"
                    | "InvalidArgument"
                    | "InvalidRequest"
                    | "InvalidHeader"
                    | "UnsupportedHeader"
                    | "MissingDigest"
                    | "MissingContentMD5"
            ),
            None => matches!(self.status, 400 | 501),
        };
        let lower = |text: &Option<String>| text.as_deref().unwrap_or_default().to_lowercase();
        let (code, about, message) = (lower(&self.code), lower(&self.about), lower(&self.message));
        if !form || message.contains("match") {
            return false;
        }
        let named = |text: &str| words.iter().any(|word| text.contains(word));
        if !about.is_empty() {
            return named(&about);
        }
        // S3's own sentence for a field that it does not implement names none.
        let vague = message.is_empty() || message.contains("a header you provided implies");
        code.starts_with("missing") || named(&message) || self.status == 501 && vague
    }

    /// The failure, ready to be shown.
    pub fn into_error(self, endpoint: &Endpoint, subject: Subject<'_>) -> Error {
        self.into_error_of(endpoint, subject, Rung::None)
    }

    /// The failure of a request whose body was checked by `rung`.
    pub fn into_error_of(self, endpoint: &Endpoint, subject: Subject<'_>, rung: Rung) -> Error {
        self.error_at(endpoint.url(), endpoint.region(), subject, rung)
    }

    pub(super) fn error_at(
        self,
        endpoint: &str,
        region: &str,
        subject: Subject<'_>,
        rung: Rung,
    ) -> Error {
        let kind = self.kind();
        let sentence = match kind {
            ErrorKind::Denied => self.denied(endpoint, subject),
            ErrorKind::NotFound => self.not_found(endpoint, subject),
            ErrorKind::Config => self.elsewhere(endpoint, region, subject),
            ErrorKind::Throttled => format!(
                "{endpoint} asks for fewer requests: start less at once, or try again later"
            ),
            ErrorKind::Changed => format!(
                "{subject} changed while it was read: let its writer finish, then try again"
            ),
            ErrorKind::Corrupt => {
                format!("{endpoint} received {subject} with bytes that do not match its checksum")
            }
            ErrorKind::Store => format!("{endpoint} failed on {subject}: try again later"),
            ErrorKind::Unsupported => {
                format!("{endpoint} does not offer what {subject} needs: use another store")
            }
            _ => format!("{endpoint} refused the request for {subject}: check the endpoint URL"),
        };
        let class = match (kind, self.code.as_deref()) {
            // Fresh credentials do not set a clock.
            (_, Some("RequestTimeTooSkewed")) => RetryClass::Fatal,
            _ if self.refuses(rung) => RetryClass::Checksum,
            (kind, _) => kind.class(),
        };
        Error::new(kind, sentence).in_class(class).because(self)
    }

    fn denied(&self, endpoint: &str, subject: Subject<'_>) -> String {
        match self.code.as_deref() {
            Some("SignatureDoesNotMatch") => format!(
                "{endpoint} refused the credentials for {subject}: the secret key is wrong; check \
                 access_key in the credential file, or AWS_SECRET_ACCESS_KEY"
            ),
            Some("InvalidAccessKeyId") => format!(
                "{endpoint} refused the credentials for {subject}: it does not know the access \
                 key; check access_key_id in the credential file, or AWS_ACCESS_KEY_ID"
            ),
            Some("ExpiredToken" | "TokenRefreshRequired" | "InvalidToken") => format!(
                "{endpoint} refused the credentials for {subject}: the session token is no longer \
                 valid; get fresh credentials"
            ),
            Some("RequestTimeTooSkewed" | "RequestExpired") => format!(
                "{endpoint} refused the signature for {subject}: this machine's clock is wrong; \
                 set it (NTP)"
            ),
            _ => format!(
                "{endpoint} denied access to {subject}: check the credentials, and that they \
                 carry the permission {}",
                subject.permission
            ),
        }
    }

    fn not_found(&self, endpoint: &str, subject: Subject<'_>) -> String {
        match self.code.as_deref() {
            code if code == Some("NoSuchBucket") || code.is_none() && subject.key.is_empty() => {
                let bucket = subject.bucket;
                format!(
                    "there is no bucket {bucket} at {endpoint}: check its name and the endpoint"
                )
            }
            Some("NoSuchUpload") => {
                format!("the multipart upload of {subject} is gone: start it again")
            }
            _ => format!("there is no object {subject} at {endpoint}: check its name"),
        }
    }

    fn elsewhere(&self, endpoint: &str, region: &str, subject: Subject<'_>) -> String {
        let bucket = subject.bucket;
        match &self.region {
            Some(other) if other != region => format!(
                "bucket {bucket} is in region {other}, not {region}: set region: {other} in the \
                 credential file, or AWS_REGION={other}, and an endpoint of that region"
            ),
            _ => format!(
                "{endpoint} sends requests for bucket {bucket} elsewhere: set the bucket's own \
                 endpoint and region"
            ),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        self.message.as_ref().map_or(Ok(()), |message| write!(f, ", {message}"))
    }
}

impl std::error::Error for Fault {}
