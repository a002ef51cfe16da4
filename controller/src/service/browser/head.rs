//! Heads: a browser's as it goes to the task, a task's as it comes back.

use super::body::Length;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use percent_encoding::percent_decode_str;

/// A longer head, in lenient mode, is none.
pub(super) const BYTES_MAX: usize = 256 << 10;

const END: &[u8] = b"\r\n\r\n";

/// The raw head of a request. In strict mode its path is decoded, with all that
/// follows from it.
pub(super) fn request<B>(request: &Request<B>, strict: bool) -> Vec<u8> {
    let target = target(request.uri(), strict);
    let mut head = format!("{} {target} HTTP/1.1\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Path and query. A decoded `#` cuts the rest off, and line ends vanish, as in
/// the real router, which parses the path again.
pub(super) fn target(uri: &Uri, strict: bool) -> String {
    if !strict {
        return uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    }
    let mut path = percent_decode_str(uri.path()).decode_utf8_lossy().into_owned();
    path.retain(|c| !matches!(c, '\r' | '\n' | '\t'));
    if let Some((before, _)) = path.split_once('#') {
        return before.to_owned();
    }
    match uri.query().filter(|query| !query.is_empty()) {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

pub(super) fn is_whole(bytes: &[u8]) -> bool {
    end(bytes).is_some()
}

fn end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(END.len()).position(|window| window == END)
}

/// The head of a task's reply.
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

impl Head {
    /// Head and what follows it; `None` where the real router stumbles: no
    /// blank line, no reason phrase, no space after a colon.
    pub(super) fn split(message: Bytes) -> Option<(Self, Bytes)> {
        let end = end(&message)?;
        let text = std::str::from_utf8(&message[..end]).ok()?;
        let mut lines = text.split("\r\n");
        let mut words = lines.next()?.splitn(3, ' ');
        let (_, status, _) = (words.next()?, words.next()?, words.next()?);
        let status = StatusCode::from_bytes(status.as_bytes()).ok()?;
        let mut headers = HeaderMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ")?;
            // Of those that repeat, the last.
            headers.insert(
                HeaderName::from_bytes(name.as_bytes()).ok()?,
                HeaderValue::from_bytes(value.as_bytes()).ok()?,
            );
        }
        let head = Self { status, headers };
        head.said_length()?;
        Some((head, message.slice(end + END.len()..)))
    }

    /// How its body ends.
    pub(super) fn length(&self, strict: bool) -> Length {
        let coding = self.headers.get(header::TRANSFER_ENCODING);
        if coding.is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
            return Length::Chunks;
        }
        let bodiless = matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        match self.said_length().flatten() {
            Some(length) => Length::Bytes(length),
            None if strict || bodiless => Length::FirstMessage,
            None => Length::UntilEnd,
        }
    }

    /// Outer `None`: a length that is no number.
    fn said_length(&self) -> Option<Option<u64>> {
        match self.headers.get(header::CONTENT_LENGTH) {
            None => Some(None),
            Some(value) => value.to_str().ok()?.trim().parse().ok().map(Some),
        }
    }
}
