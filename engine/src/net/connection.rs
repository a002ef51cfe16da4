//! One connection: sends whole slices, reads whole heads, gives up in time.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::dial::Forward;
use super::error::NetError;
use super::http1::head::{HEAD_BYTES_MAX, Parsed};
use super::http1::{HeadFault, Method, RequestHead, ResponseHead};
use super::transport::{Glance, Transport};
use crate::mem::{Buffer, Slice};
use crate::ring::Ring;
use crate::waits::Patience;

/// A connection in use.
#[derive(Clone)]
pub struct Connection {
    ring: Ring,
    transport: Transport,
    patience: Patience,
    reused: bool,
    forward: Option<Rc<Forward>>,
}

/// Why a request could not be sent to its end.
#[derive(Debug)]
pub enum SendStop {
    /// The peer has said something, or closed: look for its answer.
    Answered,
    /// The connection is of no use.
    Failed(NetError),
}

/// An answer's head in a buffer, with the body bytes that came along.
#[derive(Debug)]
pub struct Arrived {
    /// Head, framing, and the bytes the head took.
    pub parsed: Parsed,
    /// Bytes in the buffer, head included.
    pub filled: usize,
}

impl Connection {
    /// A connection over `transport`; `reused` if it has served before.
    pub fn new(ring: Ring, transport: Transport, patience: Patience, reused: bool) -> Self {
        Self { ring, transport, patience, reused, forward: None }
    }

    /// The same connection, whose other end is a proxy that sends requests on.
    pub(super) fn through(self, forward: Option<Rc<Forward>>) -> Self {
        Self { forward, ..self }
    }

    /// The same connection, which has served.
    pub(super) fn again(self) -> Self {
        Self { reused: true, ..self }
    }

    /// Whether it came out of the pool.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// How long it waits for what.
    pub(super) fn patience(&self) -> Patience {
        self.patience
    }

    /// What carries the bytes.
    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Sends a head, through `scratch`.
    pub async fn send_head(
        &self,
        head: &RequestHead,
        scratch: Buffer,
    ) -> (Result<(), SendStop>, Buffer) {
        let forwarded = self.forward.as_ref().map(|forward| forward.head(head));
        self.send_bytes(forwarded.as_deref().unwrap_or(head.bytes()), scratch).await
    }

    /// Sends bytes that fit into a buffer, through `scratch`.
    pub async fn send_bytes(
        &self,
        bytes: &[u8],
        mut scratch: Buffer,
    ) -> (Result<(), SendStop>, Buffer) {
        let mut start = 0;
        while start < bytes.len() {
            let (taken, made) = match self.transport.seal(&bytes[start..], &mut scratch) {
                Ok(Some(sealed)) => sealed,
                Ok(None) => {
                    let Some(space) = scratch.get_mut(..bytes.len()) else {
                        let fault = io::Error::other("the request's head is larger than a buffer");
                        return (Err(SendStop::Failed(NetError::Broken(fault))), scratch);
                    };
                    space.copy_from_slice(bytes);
                    (bytes.len(), bytes.len())
                }
                Err(fault) => return (Err(SendStop::Failed(fault)), scratch),
            };
            start += taken;
            let (sent, back) =
                self.send_ready(Slice { buffer: scratch, start: 0, end: made }).await;
            scratch = back;
            if sent.is_err() {
                return (sent, scratch);
            }
        }
        (Ok(()), scratch)
    }

    /// Sends all of the slice, unless the peer answers first; `room` is for
    /// what becomes of it on the wire, where that is something else.
    pub async fn send_all(
        &self,
        slice: Slice,
        mut room: Buffer,
    ) -> (Result<(), SendStop>, Buffer, Buffer) {
        let mut start = slice.start;
        while start < slice.end {
            let made = match self.transport.seal(&slice.bytes()[start - slice.start..], &mut room) {
                Ok(Some((taken, made))) => {
                    start += taken;
                    made
                }
                Ok(None) => {
                    let (sent, buffer) = self.send_ready(slice).await;
                    return (sent, buffer, room);
                }
                Err(fault) => return (Err(SendStop::Failed(fault)), slice.buffer, room),
            };
            let (sent, back) = self.send_ready(Slice { buffer: room, start: 0, end: made }).await;
            room = back;
            if sent.is_err() {
                return (sent, slice.buffer, room);
            }
        }
        (Ok(()), slice.buffer, room)
    }

    /// Sends all of the slice as it is, unless the peer answers first.
    async fn send_ready(&self, mut slice: Slice) -> (Result<(), SendStop>, Buffer) {
        while slice.start < slice.end {
            if self.transport.glance() != Glance::Quiet {
                return (Err(SendStop::Answered), slice.buffer);
            }
            let (sent, back) = self.send_some(slice).await;
            slice = back;
            match sent {
                Ok(bytes) => slice.start += bytes,
                Err(stop) => return (Err(stop), slice.buffer),
            }
        }
        (Ok(()), slice.buffer)
    }

    /// Sends some; while the peer takes nothing, looks for an early answer.
    async fn send_some(&self, slice: Slice) -> (Result<usize, SendStop>, Slice) {
        let mut send = pin!(self.transport.send(&self.ring, slice));
        let deadline = self.ring.now() + self.patience.stall;
        let mut stop = None;
        let (sent, back) = loop {
            if let Some(done) = self.or_after(self.patience.glance, send.as_mut()).await {
                break done;
            }
            if self.transport.glance() != Glance::Quiet {
                stop = Some(SendStop::Answered);
                self.transport.stop_sending();
            } else if self.ring.now() >= deadline {
                let what = "the store took no byte of the request";
                let limit = self.patience.stall;
                stop = Some(SendStop::Failed(NetError::Silent { what, limit }));
                self.transport.stop();
            }
            if stop.is_some() {
                break send.await;
            }
        };
        match (stop, sent) {
            (Some(stop), _) => (Err(stop), back),
            (None, Ok(0)) => (Err(SendStop::Answered), back),
            (None, Ok(bytes)) => (Ok(bytes), back),
            // The peer closed while we sent; what it said before is still there.
            (None, Err(_)) => (Err(SendStop::Answered), back),
        }
    }

    /// Receives some bytes into `buffer[into]`; 0 is the end of the stream.
    pub async fn recv(
        &self,
        limit: Duration,
        buffer: Buffer,
        into: Range<usize>,
    ) -> (Result<usize, NetError>, Buffer) {
        let mut recv = pin!(self.transport.recv(&self.ring, buffer, into));
        if let Some((received, buffer)) = self.or_after(limit, recv.as_mut()).await {
            return (received.map_err(NetError::of_stream), buffer);
        }
        self.transport.stop();
        let (_, buffer) = recv.await;
        let what = "no byte of the answer came";
        (Err(NetError::Silent { what, limit }), buffer)
    }

    /// Reads a final head into the buffer from its beginning on.
    pub async fn read_head(
        &self,
        asked: Method,
        mut buffer: Buffer,
    ) -> (Result<Arrived, NetError>, Buffer) {
        let (mut filled, mut begun) = (0, None);
        loop {
            // From the first byte on the head has to end in time: single bytes
            // of it are no progress.
            let limit = match begun {
                None => self.patience.first_byte,
                Some(begun) => self
                    .patience
                    .stall
                    .saturating_sub(self.ring.now().saturating_duration_since(begun)),
            };
            let into = filled..buffer.len();
            let (received, back) = self.recv(limit, buffer, into).await;
            buffer = back;
            match received {
                Ok(0) if filled == 0 => return (Err(NetError::Unanswered), buffer),
                Err(fault) if filled == 0 && fault.is_loss() => {
                    return (Err(NetError::Unanswered), buffer);
                }
                Ok(0) => {
                    let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
                    return (Err(NetError::Broken(cut)), buffer);
                }
                Ok(bytes) => filled += bytes,
                Err(NetError::Silent { .. }) if begun.is_some() => {
                    let what = "no end of the answer's head came";
                    return (Err(NetError::Silent { what, limit: self.patience.stall }), buffer);
                }
                Err(fault) => return (Err(fault), buffer),
            }
            begun = begun.or(Some(self.ring.now()));
            match ResponseHead::parse(&buffer[..filled], asked) {
                Ok(Some(parsed)) => {
                    let refusal = self.forward.as_ref().and_then(|proxy| proxy.refusal(&parsed.0));
                    return match refusal {
                        Some(refusal) => (Err(refusal.into()), buffer),
                        None => (Ok(Arrived { parsed, filled }), buffer),
                    };
                }
                Ok(None) if filled < buffer.len().min(HEAD_BYTES_MAX) => {}
                Ok(None) => return (Err(HeadFault::TooLarge.into()), buffer),
                Err(fault) => return (Err(fault.into()), buffer),
            }
        }
    }

    /// `operation`'s output, or `None` after `limit`; the operation lives on.
    async fn or_after<F: Future + Unpin>(
        &self,
        limit: Duration,
        mut operation: F,
    ) -> Option<F::Output> {
        let mut timer = pin!(self.ring.sleep_until(self.ring.now() + limit));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = Pin::new(&mut operation).poll(cx) {
                return Poll::Ready(Some(output));
            }
            timer.as_mut().poll(cx).map(|()| None)
        })
        .await
    }
}
