//! From the program to the user.

use std::io::ErrorKind;
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;

const READ_BYTES: usize = 16 << 10;
/// What may still be in a terminal whose program ended; a descendant that goes
/// on writing is not waited for.
const LEFT_BYTES_MAX: usize = 1 << 20;
/// How long a user may read nothing of the last words.
const STALL_LIMIT: Duration = Duration::from_secs(60);

/// What the user sees.
pub(super) struct Screen {
    stream: OwnedWriteHalf,
    buffer: Vec<u8>,
    /// What of `buffer` is not written yet.
    unwritten: std::ops::Range<usize>,
}

/// Why nothing more is shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Dark {
    /// The user reads no more.
    Left,
    /// No program has the terminal open.
    Closed,
}

impl Screen {
    pub(super) fn new(stream: OwnedWriteHalf) -> Self {
        Self { stream, buffer: vec![0; READ_BYTES], unwritten: 0..0 }
    }

    /// Says something before all that is shown; [`READ_BYTES`] at most.
    pub(super) fn begin(&mut self, first: &[u8]) {
        self.buffer[..first.len()].copy_from_slice(first);
        self.unwritten = 0..first.len();
    }

    /// Shows what the program writes. Cancel-safe: nothing is lost or doubled.
    pub(super) async fn show(&mut self, screen: &Receiver) -> Dark {
        loop {
            if self.flush().await.is_err() {
                return Dark::Left;
            }
            if screen.readable().await.is_err() {
                return Dark::Closed;
            }
            match screen.try_read(&mut self.buffer) {
                Ok(0) => return Dark::Closed,
                Ok(count) => self.unwritten = 0..count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What the kernel says once nobody has the other end.
                Err(_) => return Dark::Closed,
            }
        }
    }

    /// Shows what is in the terminal now.
    pub(super) async fn show_rest(&mut self, screen: &Receiver) {
        let mut left = LEFT_BYTES_MAX;
        while let Ok(Ok(())) = timeout(STALL_LIMIT, self.flush()).await {
            // The kernel hands over all that was written before it says "later".
            match rustix::io::read(screen, &mut self.buffer[..]) {
                Ok(count @ 1..) if left > 0 => {
                    self.unwritten = 0..count;
                    left = left.saturating_sub(count);
                }
                Err(Errno::INTR) => {}
                _ => return,
            }
        }
    }

    /// Says something of the agent's own, and nothing after it.
    pub(super) async fn close(mut self, last: &[u8]) {
        let write = async {
            self.flush().await?;
            self.stream.write_all(last).await?;
            self.stream.shutdown().await
        };
        let _ = timeout(STALL_LIMIT, write).await;
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        while !self.unwritten.is_empty() {
            let count = self.stream.write(&self.buffer[self.unwritten.clone()]).await?;
            if count == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            self.unwritten.start += count;
        }
        Ok(())
    }
}
