//! The response, as the router can pass it on: no I/O here.
//!
//! The router splits the head off the first message at the blank line, wants a
//! reason phrase and `Name: value`, reads chunks without extensions, and knows
//! bodies of a length or of chunks only.

/// Bytes of a head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Bytes of the line that announces a chunk, or of a trailer.
const LINE_BYTES_MAX: usize = 8 << 10;

/// Why the response cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault(pub(super) &'static str);

/// Rewrites a response as it comes.
#[derive(Debug)]
pub(super) struct Response {
    is_head: bool,
    step: Step,
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Head,
    /// Bytes left.
    Length(u64),
    /// The next line announces a chunk.
    ChunkLine,
    /// Bytes left, and the line end after them.
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// Until the server closes; sent as chunks.
    UntilClose,
    Done,
}

impl Response {
    /// `is_head`: the request was `HEAD`.
    pub(super) fn new(is_head: bool) -> Self {
        Self { is_head, step: Step::Head, held: Vec::new() }
    }

    /// Nothing more belongs to the response.
    pub(super) fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// Whether anything of it was given out.
    pub(super) fn has_begun(&self) -> bool {
        self.step != Step::Head
    }

    /// Takes what the server sent; what to pass on now, as one message.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        self.held.extend_from_slice(bytes);
        let mut out = Vec::new();
        // Of chunks: gathered, and sent as one.
        let mut body = Vec::new();
        while self.advance(&mut out, &mut body)? {}
        flush_chunk(&mut body, &mut out);
        Ok(out)
    }

    /// The server closed; what to pass on at last.
    pub(super) fn end(&mut self) -> Result<Vec<u8>, Fault> {
        match self.step {
            Step::UntilClose => {
                self.step = Step::Done;
                Ok(b"0\r\n\r\n".to_vec())
            }
            Step::Done => Ok(Vec::new()),
            Step::Head => Err(Fault("the server closed before its answer")),
            _ => Err(Fault("the server closed within its answer")),
        }
    }

    /// One step; false when it needs more.
    fn advance(&mut self, out: &mut Vec<u8>, body: &mut Vec<u8>) -> Result<bool, Fault> {
        match self.step {
            Step::Head => return self.head(out),
            Step::Length(left) => {
                let taken = self.take(left);
                out.extend_from_slice(&taken);
                self.step = match left - taken.len() as u64 {
                    0 => Step::Done,
                    left => Step::Length(left),
                };
                return Ok(self.is_done());
            }
            Step::ChunkLine => {
                let Some(line) = self.line()? else { return Ok(false) };
                let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
                let size = std::str::from_utf8(size).ok().map(str::trim);
                let size = size.and_then(|size| u64::from_str_radix(size, 16).ok());
                self.step = match size.ok_or(Fault("the server announced no proper chunk"))? {
                    0 => Step::Trailers,
                    size => Step::Chunk(size),
                };
            }
            Step::Chunk(left) => {
                let taken = self.take(left);
                body.extend_from_slice(&taken);
                self.step = match left - taken.len() as u64 {
                    0 => Step::ChunkEnd,
                    left => Step::Chunk(left),
                };
                return Ok(!taken.is_empty());
            }
            Step::ChunkEnd => {
                let Some(line) = self.line()? else { return Ok(false) };
                if !line.is_empty() {
                    return Err(Fault("the server sent a longer chunk than announced"));
                }
                self.step = Step::ChunkLine;
            }
            Step::Trailers => {
                let Some(line) = self.line()? else { return Ok(false) };
                if line.is_empty() {
                    flush_chunk(body, out);
                    out.extend_from_slice(b"0\r\n\r\n");
                    self.step = Step::Done;
                }
            }
            Step::UntilClose => {
                body.append(&mut self.held);
                return Ok(false);
            }
            Step::Done => {
                self.held.clear();
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Up to `max` of the held bytes.
    fn take(&mut self, max: u64) -> Vec<u8> {
        let count = usize::try_from(max).unwrap_or(usize::MAX).min(self.held.len());
        self.held.drain(..count).collect()
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let Some(end) = self.held.iter().position(|byte| *byte == b'\n') else {
            return match self.held.len() > LINE_BYTES_MAX {
                true => Err(Fault("a line of the server's chunks is too long")),
                false => Ok(None),
            };
        };
        let mut line: Vec<u8> = self.held.drain(..=end).collect();
        line.pop();
        line.pop_if(|byte| *byte == b'\r');
        Ok(Some(line))
    }

    /// Takes the head once it is whole; heads of 1xx are dropped.
    fn head(&mut self, out: &mut Vec<u8>) -> Result<bool, Fault> {
        let Some(end) = head_end(&self.held) else {
            return match self.held.len() > HEAD_BYTES_MAX {
                true => Err(Fault("the head of the server's answer is too long")),
                false => Ok(false),
            };
        };
        let bytes: Vec<u8> = self.held.drain(..end).collect();
        let head = Head::read(&bytes)?;
        if (100..200).contains(&head.code) {
            return Ok(true);
        }
        self.step = head.write(self.is_head, out);
        Ok(true)
    }
}

/// Where the head ends, its blank line included.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut start = 0;
    while let Some(length) = bytes[start..].iter().position(|byte| *byte == b'\n') {
        let line = &bytes[start..start + length];
        start += length + 1;
        if matches!(line, b"" | b"\r") {
            return Some(start);
        }
    }
    None
}

/// What a head says.
struct Head {
    code: u16,
    reason: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let status = lines.next().unwrap_or_default();
        let mut words = status.splitn(3, |byte| *byte == b' ');
        let fault = Fault("the server does not answer in HTTP/1");
        if !words.next().is_some_and(|word| word.starts_with(b"HTTP/1.")) {
            return Err(fault);
        }
        let code = words.next().and_then(|word| std::str::from_utf8(word).ok());
        let code = code.and_then(|code| code.parse().ok()).ok_or(fault)?;
        let reason = words.next().unwrap_or_default().trim_ascii().to_vec();
        let mut headers: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            if line[0].is_ascii_whitespace() {
                // A value that goes on, as old servers write them.
                if let Some((_, value)) = headers.last_mut() {
                    value.push(b' ');
                    value.extend_from_slice(line.trim_ascii());
                }
            } else if let Some(colon) = line.iter().position(|byte| *byte == b':') {
                let name = line[..colon].trim_ascii_end().to_vec();
                headers.push((name, line[colon + 1..].trim_ascii().to_vec()));
            }
        }
        Ok(Self { code, reason, headers })
    }

    fn value(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| value.as_slice())
    }

    fn length(&self) -> Option<u64> {
        std::str::from_utf8(self.value("content-length")?).ok()?.parse().ok()
    }

    fn is_chunked(&self) -> bool {
        self.value("transfer-encoding")
            .is_some_and(|value| value.to_ascii_lowercase().ends_with(b"chunked"))
    }

    /// Writes the head; what follows it.
    fn write(&self, is_head: bool, out: &mut Vec<u8>) -> Step {
        let no_body = is_head || matches!(self.code, 204 | 304);
        let step = match (no_body, self.is_chunked(), self.length()) {
            (true, ..) | (_, false, Some(0)) => Step::Done,
            (_, true, _) => Step::ChunkLine,
            (_, false, Some(length)) => Step::Length(length),
            (_, false, None) => Step::UntilClose,
        };
        let reason = match self.reason.as_slice() {
            b"" => http::StatusCode::from_u16(self.code)
                .ok()
                .and_then(|code| code.canonical_reason())
                .unwrap_or("Unknown")
                .as_bytes(),
            reason => reason,
        };
        out.extend_from_slice(format!("HTTP/1.1 {} ", self.code).as_bytes());
        out.extend_from_slice(reason);
        let framed = matches!(step, Step::ChunkLine | Step::UntilClose);
        for (name, value) in &self.headers {
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            let is_ours = is("connection")
                || is("keep-alive")
                || framed && (is("content-length") || is("transfer-encoding") || is("trailer"));
            if !is_ours {
                for part in [b"\r\n".as_slice(), name, b": ", value] {
                    out.extend_from_slice(part);
                }
            }
        }
        if framed {
            out.extend_from_slice(b"\r\nTransfer-Encoding: chunked");
        }
        out.extend_from_slice(b"\r\n\r\n");
        step
    }
}

/// Writes what was gathered as one chunk.
fn flush_chunk(body: &mut Vec<u8>, out: &mut Vec<u8>) {
    if !body.is_empty() {
        out.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
        out.append(body);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests;
