//! Bytes from and to one client.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::request::Request;
use super::{BODY_BYTES_MAX, WATCHDOG};

/// So long a stalled server reads nothing; then it reads, and still says
/// nothing.
const STALL: Duration = Duration::from_secs(1);
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A request's body, and the fields that came after it.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) trailer: Vec<(String, String)>,
}

/// The server's end of a connection.
pub(super) struct Peer {
    stream: TcpStream,
    ahead: Vec<u8>,
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl Peer {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(WATCHDOG))?;
        stream.set_write_timeout(Some(WATCHDOG))?;
        Ok(Self { stream, ahead: Vec::new() })
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut block = [0; 16 << 10];
        let count = self.stream.read(&mut block)?;
        self.ahead.extend_from_slice(&block[..count]);
        Ok(count)
    }

    /// The next request, or `None` when the client has left.
    pub(super) fn request(&mut self) -> io::Result<Option<Request>> {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.ahead.drain(..end + 4).collect();
                let head = String::from_utf8(head).map_err(|_| invalid("a head not in UTF-8"))?;
                let request = Request::parse(head.trim_end_matches("\r\n"));
                return request.map(Some).ok_or_else(|| invalid(format!("the head {head:?}")));
            }
            if self.ahead.len() > HEAD_BYTES_MAX {
                return Err(invalid("a head that does not end"));
            }
            match self.more() {
                Ok(0) if self.ahead.is_empty() => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(fault) if self.ahead.is_empty() && left(&fault) => return Ok(None),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Reads `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        if count > BODY_BYTES_MAX {
            return Err(invalid("a body that is too large"));
        }
        let known = count.min(self.ahead.len());
        // Zeroed by the kernel: unoptimised code takes its time over 16 MiB.
        let mut bytes = vec![0; count];
        bytes[..known].copy_from_slice(&self.ahead[..known]);
        self.ahead.drain(..known);
        self.stream.read_exact(&mut bytes[known..])?;
        Ok(bytes)
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.ahead.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.more()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads chunks up to and with the trailer.
    fn chunks(&mut self) -> io::Result<Body> {
        let mut body = Body::default();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| invalid("a chunk's size"))?;
            if size == 0 {
                break;
            }
            if body.bytes.len() + size > BODY_BYTES_MAX {
                return Err(invalid("a body that is too large"));
            }
            body.bytes.extend(self.take(size)?);
            if self.take(2)? != b"\r\n" {
                return Err(invalid("a chunk that does not end"));
            }
        }
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            body.trailer.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(body)
    }

    /// Reads the body of `request`, whatever frames it.
    pub(super) fn body(&mut self, request: &Request) -> io::Result<Body> {
        if request.field("expect").is_some_and(|what| what.eq_ignore_ascii_case("100-continue")) {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let chunked = request.field("transfer-encoding") == Some("chunked");
        let outer = if chunked {
            self.chunks()?
        } else {
            let count = announced(request)?;
            Body { bytes: self.take(count)?, trailer: Vec::new() }
        };
        let streamed = request
            .field("content-encoding")
            .is_some_and(|codings| codings.split(',').any(|coding| coding.trim() == "aws-chunked"));
        if streamed { aws_chunks(request, outer.bytes) } else { Ok(outer) }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Makes the close that follows a reset.
    pub(super) fn reset(self) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))?)
    }

    /// Waits until the client has left, and answers nothing.
    pub(super) fn outwait(mut self) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        // Neither a byte nor an answer: only the end of the connection counts.
        // It may stand behind bytes that the kernel has no more room for.
        let limit = Timespec::try_from(STALL).map_err(|_| invalid("the limit"))?;
        let mut end = [PollFd::new(&self.stream, PollFlags::RDHUP)];
        poll(&mut end, Some(&limit))?;
        io::copy(&mut self.stream, &mut io::sink()).map(drop)
    }

    /// Ends the answer; to close over unread bytes would reset the connection,
    /// and the answer with it.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        io::copy(&mut self.stream, &mut io::sink()).map(drop)
    }
}

fn left(fault: &io::Error) -> bool {
    matches!(fault.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// The bytes that the head announces.
pub(super) fn announced(request: &Request) -> io::Result<usize> {
    match request.field("content-length") {
        Some(count) => count.parse().map_err(|_| invalid("the content length")),
        None => Ok(0),
    }
}

/// Takes S3's own chunks apart (AWS: "Signature calculations for trailing
/// checksums").
fn aws_chunks(request: &Request, framed: Vec<u8>) -> io::Result<Body> {
    let mut body = Body::default();
    let mut rest = framed.as_slice();
    let line = |rest: &mut &[u8]| {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        *rest = &rest[end + 2..];
        Some(line)
    };
    loop {
        let size = line(&mut rest).ok_or_else(|| invalid("an aws-chunk without a size"))?;
        let size = size.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).map_err(|_| invalid("an aws-chunk's size"))?;
        if size == 0 {
            break;
        }
        let chunk = rest.get(..size + 2).filter(|chunk| chunk.ends_with(b"\r\n"));
        let chunk = chunk.ok_or_else(|| invalid("an aws-chunk that does not end"))?;
        body.bytes.extend_from_slice(&chunk[..size]);
        rest = &rest[size + 2..];
    }
    while let Some(line) = line(&mut rest) {
        let Some((name, value)) = line.split_once(':') else { break };
        body.trailer.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = request.field("x-amz-decoded-content-length").and_then(|text| text.parse().ok());
    if length != Some(body.bytes.len()) {
        return Err(invalid("x-amz-decoded-content-length does not match"));
    }
    let promised = request.field("x-amz-trailer").unwrap_or_default().to_ascii_lowercase();
    if !promised.is_empty() && !body.trailer.iter().any(|(name, _)| *name == promised) {
        return Err(invalid("the promised trailer did not come"));
    }
    Ok(body)
}
