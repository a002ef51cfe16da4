//! A rate shared by every connection of one direction.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

/// Bytes moved at a time, at most.
const PIECE_BYTES: usize = 16 << 10;
/// Pieces a second at least, so that a slow rate stays smooth.
const PIECES_PER_SECOND: u64 = 20;

/// Bytes a second; none is no limit.
#[derive(Debug)]
pub(super) struct Pace {
    rate: u64,
    /// When the bytes granted so far will have been due.
    due: Mutex<Option<Instant>>,
}

impl Pace {
    /// `rate` in bytes per second, 0 for no limit.
    pub(super) fn new(rate: u64) -> Self {
        Self { rate, due: Mutex::new(None) }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.rate != 0
    }

    fn piece(&self) -> usize {
        if !self.is_limited() {
            return PIECE_BYTES;
        }
        usize::try_from(self.rate / PIECES_PER_SECOND).unwrap_or(PIECE_BYTES).clamp(1, PIECE_BYTES)
    }

    /// Returns when `count` more bytes are due. Time that nobody used is lost.
    async fn take(&self, count: usize) {
        if !self.is_limited() {
            return;
        }
        let cost = Duration::from_secs_f64(count as f64 / self.rate as f64);
        let due = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let next = due.map_or(now, |due| due.max(now)) + cost;
            *due = Some(next);
            next
        };
        tokio::time::sleep_until(due).await;
    }
}

/// Copies until `from` ends, at the pace.
///
/// # Errors
/// When a side is gone.
pub(super) async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    pace: &Pace,
) -> io::Result<()> {
    let mut buffer = vec![0; pace.piece()];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        pace.take(count).await;
        to.write_all(&buffer[..count]).await?;
    }
}
