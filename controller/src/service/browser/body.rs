//! The body of a task's reply, from its data connection to the browser.

use super::super::link::{Frame, Link};
use super::super::reply::Cut;
use bytes::{Buf as _, Bytes, BytesMut};
use tokio::sync::mpsc;

/// A chunk's size takes a few digits; a longer line is none.
const SIZE_LINE_BYTES_MAX: usize = 4 << 10;

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// After so many bytes.
    Bytes(u64),
    /// With the last chunk.
    Chunks,
    /// With the message that had the head.
    FirstMessage,
    /// When the task closes.
    UntilEnd,
}

type To = mpsc::Sender<Result<Bytes, Cut>>;

/// Copies until the body has ended, and closes the data connection; when the
/// browser leaves before, the rest is read and forgotten and nothing closed.
pub(super) async fn copy(first: Bytes, backend: Link, length: Length, is_head: bool, to: To) {
    let mut body = Body { backend, to, is_head, browser_left: false };
    match length {
        Length::Bytes(length) => body.counted(first, length).await,
        Length::Chunks => body.chunked(first).await,
        Length::FirstMessage => {
            body.give(first).await;
        }
        Length::UntilEnd => {
            body.give(first).await;
            while let Some(more) = body.next().await {
                body.give(more).await;
            }
        }
    }
    let Body { mut backend, to, browser_left, .. } = body;
    drop(to);
    if browser_left {
        while backend.inbound.recv().await.is_some() {}
    } else {
        backend.close(1000, "").await;
    }
}

struct Body {
    backend: Link,
    to: To,
    is_head: bool,
    browser_left: bool,
}

impl Body {
    /// The next bytes; none after a text frame.
    async fn next(&mut self) -> Option<Bytes> {
        match self.backend.inbound.recv().await {
            Some(Frame::Binary(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Nobody waits for the body of a HEAD.
    async fn give(&mut self, bytes: Bytes) {
        if !bytes.is_empty() && !self.is_head && !self.browser_left {
            self.browser_left = self.to.send(Ok(bytes)).await.is_err();
        }
    }

    /// A message that goes beyond the length is not sent at all.
    async fn counted(&mut self, first: Bytes, length: u64) {
        let mut left = length;
        let mut bytes = first;
        loop {
            match left.checked_sub(bytes.len() as u64) {
                Some(rest) => left = rest,
                None => return drop(self.to.send(Err(Cut)).await),
            }
            self.give(bytes).await;
            if left == 0 {
                return;
            }
            match self.next().await {
                Some(more) => bytes = more,
                None => return drop(self.to.send(Err(Cut)).await),
            }
        }
    }

    async fn chunked(&mut self, first: Bytes) {
        let mut chunks = Chunks::default();
        let mut bytes = first;
        loop {
            let mut rest = bytes;
            while !rest.is_empty() {
                match chunks.take(&mut rest) {
                    Some(data) => self.give(data).await,
                    None => return,
                }
            }
            match self.next().await {
                Some(more) => bytes = more,
                None => return,
            }
        }
    }
}

/// Takes chunked coding apart. Extensions, and what stands where a chunk's line
/// end should be, are treated as the real router does: the first ends the body,
/// the second is passed over.
#[derive(Default)]
struct Chunks {
    line: BytesMut,
    data_left: u64,
    end_left: u64,
}

impl Chunks {
    /// Eats from `bytes`; answers with data, perhaps none yet. `None` at the
    /// end of the body.
    fn take(&mut self, bytes: &mut Bytes) -> Option<Bytes> {
        if self.data_left > 0 {
            let data = bytes.split_to(within(self.data_left, bytes.len()));
            self.data_left -= data.len() as u64;
            return Some(data);
        }
        if self.end_left > 0 {
            let passed = within(self.end_left, bytes.len());
            bytes.advance(passed);
            self.end_left -= passed as u64;
            return Some(Bytes::new());
        }
        self.line.extend_from_slice(&bytes.split_to(1));
        if self.line.ends_with(b"\r\n") {
            let line = self.line.split();
            self.data_left = size(&line[..line.len() - 2]).filter(|size| *size > 0)?;
            self.end_left = 2;
        }
        (self.line.len() <= SIZE_LINE_BYTES_MAX).then(Bytes::new)
    }
}

fn size(line: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(line).ok()?.trim(), 16).ok()
}

fn within(left: u64, len: usize) -> usize {
    usize::try_from(left).map_or(len, |left| left.min(len))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn decode(parts: &[&str]) -> (String, bool) {
        let (mut chunks, mut out) = (Chunks::default(), Vec::new());
        for part in parts {
            let mut bytes = Bytes::copy_from_slice(part.as_bytes());
            while !bytes.is_empty() {
                match chunks.take(&mut bytes) {
                    Some(data) => out.extend_from_slice(&data),
                    None => return (String::from_utf8(out).unwrap(), true),
                }
            }
        }
        (String::from_utf8(out).unwrap(), false)
    }

    #[test]
    fn chunks_come_apart_anywhere() {
        let whole = "5\r\nhello\r\nA\r\n, worldly!\r\n0\r\n\r\n";
        for at in 0..whole.len() - 2 {
            let (a, b) = whole.split_at(at);
            assert_eq!(decode(&[a, b]), ("hello, worldly!".to_owned(), true), "{at}");
        }
    }

    #[test]
    fn a_size_that_never_ends_is_none() {
        assert_eq!(decode(&[&"1".repeat(SIZE_LINE_BYTES_MAX + 2)]), (String::new(), true));
        assert_eq!(decode(&["1;ext=1\r\n!\r\n"]), (String::new(), true));
    }
}
