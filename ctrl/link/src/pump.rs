//! Bytes between a WebSocket pair and a local stream, both ways.
//!
//! ```text
//!   local ── read ≤ 32 KiB ──► binary message ──► service      outward
//!         ◄── write all ◄───── binary messages ◄──             inward
//! ```
//!
//! A pair carries binary frames only and knows no half-close: when either side
//! ends, both do. What was read before the end is delivered first: the local
//! side's last bytes go out before the close, what the service sent before its
//! own close is written before the local stream is shut.
//!
//! Invariants: no message is empty or text, which would end a pair; neither
//! direction waits for the other, so that two full sides cannot block each
//! other; what is read is copied once, into the frame. A peer that is pinged
//! and says nothing for [`ANSWER_LIMIT`] is gone; the pause counts only while
//! we read. Limits: [`CHUNK_BYTES_MAX`] held outward, one message (as the
//! socket's limit has it) inward; [`END_LIMIT`] for each side's goodbye.
//!
//! A local stream that takes nothing holds the service's pings up as well, as
//! they come behind its data.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::{LinkError, Socket};

/// Bytes of a message that is sent.
pub const CHUNK_BYTES_MAX: usize = 16 << 10;
/// Between two pings.
pub const PING_EVERY: Duration = Duration::from_secs(20);
/// A peer that answers no ping for so long is gone.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How long each side may take to end once the other has.
pub const END_LIMIT: Duration = Duration::from_secs(2);
/// What a read makes room for while little comes.
const CHUNK_BYTES_MIN: usize = 4 << 10;
const CLOSE_NORMAL: u16 = 1000;

/// What went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pumped {
    /// Bytes from the local stream to the service.
    pub sent: u64,
    /// Bytes from the service to the local stream.
    pub received: u64,
}

/// Who ended.
enum End {
    Local,
    Service,
}

/// What both directions know of each other. They are one task, so no order of
/// memory matters.
struct Tally<'a> {
    sent: AtomicU64,
    received: AtomicU64,
    /// Told of each message.
    each: &'a (dyn Fn(Pumped) + Send + Sync),
    begin: Instant,
    /// Milliseconds from the begin to the first ping that is unanswered; 0 for
    /// none.
    asked_ms: AtomicU64,
}

impl<'a> Tally<'a> {
    fn new(each: &'a (dyn Fn(Pumped) + Send + Sync)) -> Self {
        let zero = || AtomicU64::new(0);
        Self { sent: zero(), received: zero(), each, begin: Instant::now(), asked_ms: zero() }
    }

    fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
        (self.each)(Pumped { sent: bytes, received: 0 });
    }

    fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Relaxed);
        (self.each)(Pumped { sent: 0, received: bytes });
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn asked(&self) {
        let _ = self.asked_ms.compare_exchange(0, self.elapsed_ms().max(1), Relaxed, Relaxed);
    }

    fn heard(&self) {
        self.asked_ms.store(0, Relaxed);
    }

    /// For how long the peer owes an answer.
    fn owed(&self) -> Duration {
        match self.asked_ms.load(Relaxed) {
            0 => Duration::ZERO,
            asked => Duration::from_millis(self.elapsed_ms().saturating_sub(asked)),
        }
    }
}

/// Pumps until either side ends.
///
/// # Errors
/// Either side broke; an end in order is none.
pub async fn pump<S>(socket: Socket, local: S) -> Result<Pumped, LinkError>
where
    S: AsyncRead + AsyncWrite,
{
    pump_telling(socket, local, &|_| {}).await
}

/// As [`pump`]; `each` is told what goes through as it goes, so that it is
/// known also of a pair that breaks or is given up.
///
/// # Errors
/// As of [`pump`].
pub async fn pump_telling<S>(
    socket: Socket,
    local: S,
    each: &(dyn Fn(Pumped) + Send + Sync),
) -> Result<Pumped, LinkError>
where
    S: AsyncRead + AsyncWrite,
{
    let (mut to_service, mut from_service) = socket.split();
    let (mut reader, mut writer) = tokio::io::split(local);
    let tally = Tally::new(each);
    let end = {
        let outward = outward(&mut reader, &mut to_service, &tally);
        let inward = inward(&mut from_service, &mut writer, &tally);
        tokio::pin!(outward, inward);
        tokio::select! {
            end = &mut inward => match end {
                // It may have spoken before it went.
                Ok(End::Local) => timeout(END_LIMIT, outward).await.unwrap_or(Ok(End::Local)),
                end => end,
            },
            end = &mut outward => {
                // The close is out; what was on its way to us still counts.
                if end.is_ok() {
                    let _ = timeout(END_LIMIT, inward).await;
                }
                end
            }
        }
    };
    // To a service that has closed this is the answer, else the close.
    let _ = timeout(END_LIMIT, to_service.close()).await;
    if matches!(end, Ok(End::Service)) {
        let _ = timeout(END_LIMIT, leave(&mut reader, &mut writer)).await;
    } else {
        let _ = timeout(END_LIMIT, writer.shutdown()).await;
    }
    let count = |counter: AtomicU64| counter.into_inner();
    end.map(|_| Pumped { sent: count(tally.sent), received: count(tally.received) })
}

/// Messages out of what is read, to the local end and the close after it.
async fn outward(
    reader: &mut (impl AsyncRead + Unpin),
    service: &mut (impl Sink<Message, Error = Error> + Unpin),
    tally: &Tally<'_>,
) -> Result<End, LinkError> {
    let (mut buffer, mut chunk) = (BytesMut::new(), CHUNK_BYTES_MIN);
    let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // The last message is written and gone, so this is the same memory.
        buffer.reserve(chunk);
        let mut window = (&mut *reader).take(chunk as u64);
        let count = tokio::select! {
            count = window.read_buf(&mut buffer) => match count {
                Ok(count) => count,
                Err(error) if is_end(&error) => 0,
                Err(error) => return Err(broken(&error)),
            },
            _ = pings.tick() => {
                service.send(Message::Ping(Bytes::new())).await.map_err(failed)?;
                tally.asked();
                continue;
            }
        };
        if count == 0 {
            let close = CloseFrame { code: CLOSE_NORMAL.into(), reason: "".into() };
            let _ = timeout(ANSWER_LIMIT, service.send(Message::Close(Some(close)))).await;
            return Ok(End::Local);
        }
        service.send(Message::Binary(buffer.split().freeze())).await.map_err(failed)?;
        tally.sent(count as u64);
        chunk = next_chunk(chunk, count);
    }
}

/// Streams get large messages, and what is at rest holds little memory.
fn next_chunk(chunk: usize, count: usize) -> usize {
    let next = if count == chunk { chunk * 4 } else { (count * 2).next_power_of_two() };
    next.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX)
}

/// Writes what the service sends, to its end.
async fn inward(
    service: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    tally: &Tally<'_>,
) -> Result<End, LinkError> {
    loop {
        let Ok(message) = timeout(PING_EVERY, service.next()).await else {
            if tally.owed() >= ANSWER_LIMIT {
                let seconds = ANSWER_LIMIT.as_secs();
                return Err(LinkError::Broken(format!("no answer to a ping for {seconds} s")));
            }
            continue;
        };
        match message {
            Some(Ok(Message::Binary(bytes))) => match write(writer, &bytes).await {
                Ok(()) => tally.received(bytes.len() as u64),
                Err(error) if is_end(&error) => return Ok(End::Local),
                Err(error) => return Err(broken(&error)),
            },
            Some(Ok(Message::Close(_))) | None => return Ok(End::Service),
            // A ping's answer is queued by the library and goes out with the
            // next look for a message.
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(failed(error)),
        }
        tally.heard();
    }
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

/// Somebody who hangs up with bytes unread has left, not failed.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Shuts the local stream and waits for its end: bytes that nobody reads would
/// turn the close into a reset, and a reset overtakes what was written.
async fn leave(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    writer.shutdown().await?;
    let mut unread = vec![0; CHUNK_BYTES_MIN];
    while reader.read(&mut unread).await? > 0 {}
    Ok(())
}

fn broken(error: &io::Error) -> LinkError {
    LinkError::Broken(format!("the local side: {error}"))
}

fn failed(error: Error) -> LinkError {
    LinkError::Broken(error.to_string())
}
