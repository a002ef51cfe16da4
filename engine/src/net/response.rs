//! An answer whose head is read: its body goes into the caller's buffers.

use std::ops::Range;
use std::rc::Rc;

use super::connection::{Arrived, Connection};
use super::error::NetError;
use super::http1::{Body, ResponseHead};
use super::origin::Origin;
use crate::mem::Buffer;

/// An answer.
pub struct Response {
    head: ResponseHead,
    body: Body,
    /// Holds what came with the head until it is read.
    scratch: Buffer,
    unread: Range<usize>,
    connection: Connection,
    origin: Rc<Origin>,
    /// An error, or bytes beyond the end: the connection is of no more use.
    spoilt: bool,
}

impl Response {
    pub(crate) fn new(
        origin: &Rc<Origin>,
        connection: Connection,
        arrived: Arrived,
        scratch: Buffer,
    ) -> Self {
        let (head, body, taken) = arrived.parsed;
        Self {
            head,
            body,
            scratch,
            unread: taken..arrived.filled,
            connection,
            origin: Rc::clone(origin),
            spoilt: false,
        }
    }

    /// The head.
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// The framing, which knows what is left where the head said so.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Fills some of `buffer[into]`; 0 at the end of the body, or when `into`
    /// is empty.
    pub async fn read(
        &mut self,
        buffer: Buffer,
        into: Range<usize>,
    ) -> (Result<usize, NetError>, Buffer) {
        // A read that is dropped half-way leaves the connection where nobody
        // knows.
        let spoilt = std::mem::replace(&mut self.spoilt, true);
        let (read, buffer) = self.read_some(buffer, into).await;
        let (read, excess) = match read {
            Ok((made, excess)) => (Ok(made), excess),
            Err(fault) => (Err(fault), true),
        };
        self.spoilt = spoilt || excess;
        (read, buffer)
    }

    /// Bytes made, and whether bytes came that are beyond the end.
    async fn read_some(
        &mut self,
        mut buffer: Buffer,
        into: Range<usize>,
    ) -> (Result<(usize, bool), NetError>, Buffer) {
        loop {
            if self.body.is_done() || into.is_empty() {
                return (Ok((0, false)), buffer);
            }
            let room = self.body.receivable().map_or(into.len(), |left| {
                usize::try_from(left).unwrap_or(usize::MAX).min(into.len())
            });
            let into = into.start..into.start + room;
            let arrived = if self.unread.is_empty() {
                let (received, back) = self
                    .connection
                    .recv(self.connection.patience().stall, buffer, into.clone())
                    .await;
                buffer = back;
                match received {
                    Ok(0) => return (self.ended(), buffer),
                    Ok(bytes) => bytes,
                    Err(fault) => return (Err(fault), buffer),
                }
            } else {
                self.take_unread(&mut buffer[into.clone()])
            };
            match self.body.decode(&mut buffer[into.start..into.start + arrived]) {
                Ok((_, 0)) if !self.body.is_done() => {}
                Ok((used, made)) => return (Ok((made, used < arrived)), buffer),
                Err(fault) => return (Err(fault.into()), buffer),
            }
        }
    }

    fn ended(&self) -> Result<(usize, bool), NetError> {
        self.body.ended()?;
        Ok((0, false))
    }

    /// Copies what came with the head, once.
    fn take_unread(&mut self, space: &mut [u8]) -> usize {
        let bytes = space.len().min(self.unread.len());
        let from = self.unread.start;
        space[..bytes].copy_from_slice(&self.scratch[from..from + bytes]);
        self.unread.start += bytes;
        bytes
    }

    /// Gives the connection back for reuse, if the body was read to its end,
    /// and the scratch buffer.
    pub fn finish(self) -> Buffer {
        let clean = self.body.is_done() && self.unread.is_empty() && !self.spoilt;
        if clean && self.head.keep_alive {
            self.origin.rest(&self.connection);
        }
        self.scratch
    }

    /// Reads at most `bytes_max` bytes, roughly, of a body that explains a
    /// failure; what cannot be read is left out. Then as [`Response::finish`].
    pub async fn finish_with_text(mut self, bytes_max: usize) -> (Vec<u8>, Buffer) {
        let mut text = Vec::new();
        let mut space = self.unread.clone();
        self.unread = 0..0;
        while !self.body.is_done() && text.len() < bytes_max {
            if space.is_empty() {
                let all = 0..self.scratch.len().min(bytes_max);
                let (received, back) =
                    self.connection.recv(self.connection.patience().stall, self.scratch, all).await;
                self.scratch = back;
                match received {
                    Ok(bytes) if bytes > 0 => space = 0..bytes,
                    _ => break,
                }
            }
            let Ok((used, made)) = self.body.decode(&mut self.scratch[space.clone()]) else {
                break;
            };
            text.extend_from_slice(&self.scratch[space.start..space.start + made]);
            self.spoilt |= used < space.len();
            space = 0..0;
        }
        self.spoilt |= !space.is_empty();
        text.truncate(bytes_max);
        (text, self.finish())
    }

    /// Ends the connection: the request was not sent to its end.
    pub fn abandon(&mut self) {
        self.spoilt = true;
    }
}
