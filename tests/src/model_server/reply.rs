//! Answers' heads and short bodies.

/// When everything was made.
pub(super) const MODIFIED_ISO: &str = "2026-01-01T00:00:00.000Z";
const MODIFIED: &str = "Thu, 01 Jan 2026 00:00:00 GMT";
/// Keeps an entity tag from being taken for an MD5.
pub(super) const ETAG_SUFFIX: &str = "-1";

/// An answer, but for a body that is generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    status: u16,
    fields: String,
    pub(super) body: Body,
}

/// What follows the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Text(String),
    /// `bytes` bytes of an object from `offset` on.
    Generated {
        object: u64,
        offset: u64,
        bytes: u64,
    },
    /// Announced, as HEAD does, and not sent.
    Absent(u64),
}

impl Reply {
    pub(super) fn new(status: u16) -> Self {
        Self { status, fields: String::new(), body: Body::Text(String::new()) }
    }

    pub(super) fn carrying(status: u16, body: Body) -> Self {
        Self { body, ..Self::new(status) }
    }

    pub(super) fn xml(text: String) -> Self {
        Self { body: Body::Text(text), ..Self::new(200) }.with("content-type", "application/xml")
    }

    /// A refusal with S3's code.
    pub(super) fn refusal(status: u16, code: &str, message: &str) -> Self {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        Self { status, ..Self::xml(text) }
    }

    /// With one more field.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// With what names an object's version.
    pub(super) fn of_object(self, etag: &str) -> Self {
        self.with("etag", etag)
            .with("last-modified", MODIFIED)
            .with("accept-ranges", "bytes")
            .with("content-type", "application/octet-stream")
    }

    /// Without its body, for HEAD.
    pub(super) fn bare(mut self) -> Self {
        self.body = Body::Absent(self.body_bytes());
        self
    }

    fn body_bytes(&self) -> u64 {
        match &self.body {
            Body::Text(text) => text.len() as u64,
            Body::Generated { bytes, .. } | Body::Absent(bytes) => *bytes,
        }
    }

    /// The head's bytes.
    pub(super) fn head(&self) -> String {
        let reason = match self.status {
            200 => "OK",
            204 => "No Content",
            206 => "Partial Content",
            400 => "Bad Request",
            404 => "Not Found",
            412 => "Precondition Failed",
            416 => "Range Not Satisfiable",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            _ => "Other",
        };
        format!(
            "HTTP/1.1 {} {reason}\r\nserver: model\r\nx-amz-request-id: model\r\n{}\
             content-length: {}\r\n\r\n",
            self.status,
            self.fields,
            self.body_bytes()
        )
    }
}
