//! Reads response heads: status, fields, and how the body is framed.

use super::body::Body;
use super::request::Method;

/// A head, with all interim ones before it, has at most this many bytes: S3's
/// are below 2 KiB.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// A head has at most this many fields: S3's have about twenty.
pub const HEAD_FIELDS_MAX: usize = 64;

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// Not HTTP/1.x at all.
    #[error("the answer is not HTTP/1.1 ({0}); is this the port of another protocol, or of https?")]
    NotHttp(httparse::Error),
    /// Longer than [`HEAD_BYTES_MAX`] or more fields than [`HEAD_FIELDS_MAX`].
    #[error("the answer's head is larger than 16 KiB or 64 fields")]
    TooLarge,
    /// More than one Content-Length.
    #[error("the answer has more than one Content-Length")]
    LengthTwice,
    /// A Content-Length that is no number, or too large a one.
    #[error("the answer's Content-Length is not a number of bytes")]
    LengthInvalid,
    /// Content-Length beside Transfer-Encoding: request smuggling's tool.
    #[error("the answer has both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    /// A transfer coding other than `chunked`, or one in HTTP/1.0.
    #[error("the answer has a transfer coding other than chunked")]
    EncodingUnknown,
    /// `101 Switching Protocols`, which nobody asked for.
    #[error("the server switched protocols without being asked")]
    Upgrade,
}

/// A final response head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status code, 200 or above.
    pub status: u16,
    /// Whether the connection may be used again after the body.
    pub keep_alive: bool,
    fields: Vec<(String, String)>,
}

/// A parsed head, the framing of its body, and how many bytes it took.
pub type Parsed = (ResponseHead, Body, usize);

impl ResponseHead {
    /// Parses what has arrived so far; `None` when the head is not complete.
    /// Interim answers (1xx) are skipped.
    ///
    /// # Errors
    /// The head cannot be trusted, and neither can the connection.
    pub fn parse(bytes: &[u8], asked: Method) -> Result<Option<Parsed>, HeadFault> {
        let mut skipped = 0;
        loop {
            let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS_MAX];
            let mut answer = httparse::Response::new(&mut fields);
            let taken = match answer.parse(&bytes[skipped..]) {
                Ok(httparse::Status::Complete(taken)) => skipped + taken,
                Ok(httparse::Status::Partial) if bytes.len() >= HEAD_BYTES_MAX => {
                    return Err(HeadFault::TooLarge);
                }
                Ok(httparse::Status::Partial) => return Ok(None),
                Err(httparse::Error::TooManyHeaders) => return Err(HeadFault::TooLarge),
                Err(fault) => return Err(HeadFault::NotHttp(fault)),
            };
            if taken > HEAD_BYTES_MAX {
                return Err(HeadFault::TooLarge);
            }
            match answer.code.unwrap_or_default() {
                101 => return Err(HeadFault::Upgrade),
                100..200 => skipped = taken,
                status if status < 100 => return Err(HeadFault::NotHttp(httparse::Error::Status)),
                status => {
                    let http11 = answer.version == Some(1);
                    let (head, body) = finish(status, http11, answer.headers, asked)?;
                    return Ok(Some((head, body, taken)));
                }
            }
        }
    }

    /// The first field of that name (lower case).
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All fields, names in lower case.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn finish(
    status: u16,
    http11: bool,
    fields: &[httparse::Header<'_>],
    asked: Method,
) -> Result<(ResponseHead, Body), HeadFault> {
    let length = content_length(fields)?;
    let chunked = chunked(fields, http11)?;
    if chunked && length.is_some() {
        return Err(HeadFault::LengthAndEncoding);
    }
    let body = if asked == Method::Head || status == 204 || status == 304 {
        Body::length(0)
    } else if chunked {
        Body::chunked()
    } else {
        length.map_or(Body::UntilClose, Body::length)
    };
    let closes = named(fields, "connection").any(|value| has_token(value, b"close"));
    let keep_alive = http11 && !closes && !matches!(body, Body::UntilClose);
    let fields = fields
        .iter()
        .map(|f| (f.name.to_ascii_lowercase(), String::from_utf8_lossy(f.value).into_owned()))
        .collect();
    Ok((ResponseHead { status, keep_alive, fields }, body))
}

fn named<'a>(
    fields: &'a [httparse::Header<'a>],
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> + 'a {
    fields.iter().filter(move |f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value)
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value.split(|b| *b == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(token))
}

fn content_length(fields: &[httparse::Header<'_>]) -> Result<Option<u64>, HeadFault> {
    let mut values = named(fields, "content-length");
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() || value.contains(&b',') {
        return Err(HeadFault::LengthTwice);
    }
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(HeadFault::LengthInvalid);
    }
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .map(Some)
        .ok_or(HeadFault::LengthInvalid)
}

fn chunked(fields: &[httparse::Header<'_>], http11: bool) -> Result<bool, HeadFault> {
    let mut values = named(fields, "transfer-encoding");
    let Some(value) = values.next() else { return Ok(false) };
    let only = values.next().is_none() && value.trim_ascii().eq_ignore_ascii_case(b"chunked");
    if only && http11 { Ok(true) } else { Err(HeadFault::EncodingUnknown) }
}
