//! A terminal's connection: the raw bytes after its `Hello`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, Join, ReadBuf, join};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// The agent's second connection.
pub(crate) type Terminal = Join<AfterHello, OwnedWriteHalf>;

/// Its reading half. What came in the same read as `Hello` is read first; the
/// newline that ends `Hello` is not the terminal's.
#[derive(Debug)]
pub(crate) struct AfterHello {
    stream: OwnedReadHalf,
    rest: Vec<u8>,
    newline: bool,
}

pub(super) fn terminal(stream: UnixStream, mut rest: Vec<u8>) -> Terminal {
    let newline = rest.is_empty();
    if rest.first() == Some(&b'\n') {
        rest.remove(0);
    }
    let (stream, writer) = stream.into_split();
    join(AfterHello { stream, rest, newline }, writer)
}

impl AsyncRead for AfterHello {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.rest.is_empty() {
            let count = self.rest.len().min(buffer.remaining());
            buffer.put_slice(&self.rest[..count]);
            self.rest.drain(..count);
            return Poll::Ready(Ok(()));
        }
        if self.newline {
            let mut first = [0];
            let mut one = ReadBuf::new(&mut first);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut one))?;
            self.newline = false;
            match one.filled() {
                [] => return Poll::Ready(Ok(())),
                [b'\n'] => {}
                [byte] | [byte, ..] => {
                    buffer.put_slice(&[*byte]);
                    return Poll::Ready(Ok(()));
                }
            }
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::terminal;

    #[tokio::test]
    async fn the_newline_of_the_greeting_is_dropped_wherever_it_was_cut() {
        for (rest, later) in [("\n\nab", ""), ("\n", "\nab"), ("", "\n\nab"), ("\n\na", "b")] {
            let (mut far, near) = UnixStream::pair().unwrap();
            let mut terminal = terminal(near, rest.into());
            far.write_all(later.as_bytes()).await.unwrap();
            drop(far);
            let mut read = String::new();
            terminal.read_to_string(&mut read).await.unwrap();
            assert_eq!(read, "\nab", "{rest:?} then {later:?}");
        }
    }
}
