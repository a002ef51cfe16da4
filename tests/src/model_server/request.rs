//! Requests as they come in on one connection.

use std::io;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::body::Pieces;

const HEAD_BYTES_MAX: usize = 16 << 10;
const FIELDS_MAX: usize = 64;
/// What one read of a body takes; the part beyond a head waits in it as well.
const BLOCK_BYTES: usize = 256 << 10;

/// The receiving side of a connection.
pub(super) struct Inbound {
    stream: TcpStream,
    block: Vec<u8>,
    filled: usize,
}

/// A request's head.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    fields: Vec<(String, String)>,
}

impl Head {
    /// A field; names in lower case.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    fn names(&self, field: &str, word: &str) -> bool {
        self.field(field).is_some_and(|value| value.to_ascii_lowercase().contains(word))
    }

    /// Whether the client closes after the answer.
    pub(super) fn closes(&self) -> bool {
        self.names("connection", "close")
    }

    fn body_bytes(&self) -> u64 {
        self.field("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

impl Inbound {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, block: vec![0; BLOCK_BYTES], filled: 0 }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The next head; `None` when the client is gone.
    pub(super) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some((head, used)) = parse(&self.block[..self.filled])? {
                self.drop_front(used);
                return Ok(Some(head));
            }
            if self.filled >= HEAD_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a head without end"));
            }
            if self.read().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Hands a request's body to `take` and answers the trailer's checksum, if
    /// it has one.
    pub(super) async fn body(
        &mut self,
        head: &Head,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<Option<String>> {
        let coded = head.names("transfer-encoding", "chunked");
        let mut left = if coded { u64::MAX } else { head.body_bytes() };
        if head.names("expect", "100-continue") && left > 0 {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let framed = coded || head.names("content-encoding", "aws-chunked");
        let mut pieces = framed.then(Pieces::new);
        while left > 0 {
            if self.filled == 0 && self.read().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.filled);
            let used = match &mut pieces {
                Some(pieces) => pieces.feed(&self.block[..here], &mut take)?,
                None => {
                    take(&self.block[..here]);
                    here
                }
            };
            self.drop_front(used);
            left -= used as u64;
            if pieces.as_ref().is_some_and(Pieces::ended) {
                break;
            }
        }
        if pieces.as_ref().is_some_and(|pieces| !pieces.ended()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(pieces.and_then(|pieces| pieces.trailer("x-amz-checksum-crc64nvme").map(str::to_owned)))
    }

    /// Sends all of `bytes`.
    pub(super) async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while sent < bytes.len() {
            sent += self.send_some(&bytes[sent..]).await?;
        }
        Ok(())
    }

    /// Sends some of `bytes`, at least one.
    pub(super) async fn send_some(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.stream.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.writable().await?;
                }
                result => return result,
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        let count = self.stream.read(&mut self.block[self.filled..]).await?;
        self.filled += count;
        Ok(count)
    }

    fn drop_front(&mut self, used: usize) {
        self.block.copy_within(used..self.filled, 0);
        self.filled -= used;
    }
}

fn parse(bytes: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let malformed = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let httparse::Status::Complete(used) = request.parse(bytes).map_err(malformed)? else {
        return Ok(None);
    };
    let fields = request.headers.iter().map(|field| {
        (field.name.to_ascii_lowercase(), String::from_utf8_lossy(field.value).trim().to_owned())
    });
    let head = Head {
        fields: fields.collect(),
        method: request.method.unwrap_or_default().to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
    };
    Ok(Some((head, used)))
}
