//! One connection: sends whole slices, reads whole heads, gives up in time.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

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
        Self { ring, transport, patience, reused }
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
        mut scratch: Buffer,
    ) -> (Result<(), SendStop>, Buffer) {
        let bytes = head.bytes();
        let Some(space) = scratch.get_mut(..bytes.len()) else {
            let fault = io::Error::other("the request's head is larger than a buffer");
            return (Err(SendStop::Failed(NetError::Broken(fault))), scratch);
        };
        space.copy_from_slice(bytes);
        self.send_all(Slice { buffer: scratch, start: 0, end: bytes.len() }).await
    }

    /// Sends all of the slice, unless the peer answers first.
    pub async fn send_all(&self, mut slice: Slice) -> (Result<(), SendStop>, Buffer) {
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
            return (received.map_err(NetError::Broken), buffer);
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
        let mut filled = 0;
        loop {
            let limit = if filled == 0 { self.patience.first_byte } else { self.patience.stall };
            let into = filled..buffer.len();
            let (received, back) = self.recv(limit, buffer, into).await;
            buffer = back;
            match received {
                Ok(0) if filled == 0 => return (Err(NetError::Unanswered), buffer),
                Err(NetError::Broken(_)) if filled == 0 => {
                    return (Err(NetError::Unanswered), buffer);
                }
                Ok(0) => {
                    let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
                    return (Err(NetError::Broken(cut)), buffer);
                }
                Ok(bytes) => filled += bytes,
                Err(fault) => return (Err(fault), buffer),
            }
            match ResponseHead::parse(&buffer[..filled], asked) {
                Ok(Some(parsed)) => return (Ok(Arrived { parsed, filled }), buffer),
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
