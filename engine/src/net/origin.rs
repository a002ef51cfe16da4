//! One host and port: its idle connections, and how to get more.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use super::connection::{Connection, SendStop};
use super::dial::Dial;
use super::error::NetError;
use super::http1::RequestHead;
use super::network::Network;
use super::response::Response;
use super::tls::Wire;
use super::transport::Transport;
use crate::mem::Buffer;
use crate::ring::{Fd, Ring};
use crate::waits::Patience;

/// Idle connections kept: as many as a window of parts ever uses.
pub const IDLE_CONNECTIONS_MAX: usize = 128;

/// A host and port, on one ring.
pub struct Origin {
    ring: Ring,
    network: Network,
    host: String,
    wire: Wire,
    dial: Dial,
    patience: Patience,
    idle: RefCell<Vec<(Instant, Connection)>>,
}

impl Origin {
    /// An origin; nothing is resolved or connected yet.
    pub fn new(
        ring: Ring,
        network: Network,
        host: impl Into<String>,
        port: u16,
        wire: Wire,
        patience: Patience,
    ) -> Rc<Self> {
        let host = host.into();
        let dial = Dial::new(ring.clone(), network.clone(), wire, host.clone(), port, patience);
        Rc::new(Self { ring, network, host, wire, dial, patience, idle: RefCell::default() })
    }

    /// Sends a request without a body, and reads the answer's head. If a
    /// connection of the pool dies before any byte of the answer, the request
    /// goes out once more on a fresh one: nothing was lost and nothing can
    /// have happened twice that matters to a GET or HEAD.
    ///
    /// # Errors
    /// With the scratch buffer.
    pub async fn request(
        self: &Rc<Self>,
        head: &RequestHead,
        mut scratch: Buffer,
    ) -> Result<Response, (NetError, Buffer)> {
        let mut connection = match self.connection().await {
            Ok(connection) => connection,
            Err(fault) => return Err((fault, scratch)),
        };
        loop {
            match self.exchange(&connection, head, scratch).await {
                Err((NetError::Unanswered, back)) if connection.is_reused() => {
                    scratch = back;
                    connection = match self.connect().await {
                        Ok(connection) => connection,
                        Err(fault) => return Err((fault, scratch)),
                    };
                }
                answer => return answer,
            }
        }
    }

    async fn exchange(
        self: &Rc<Self>,
        connection: &Connection,
        head: &RequestHead,
        scratch: Buffer,
    ) -> Result<Response, (NetError, Buffer)> {
        let (sent, scratch) = connection.send_head(head, scratch).await;
        let whole = match sent {
            Ok(()) => true,
            // What is said at rest, a 408 most of the time, answers no request.
            Err(SendStop::Answered) if connection.is_reused() => {
                return Err((NetError::Unanswered, scratch));
            }
            Err(SendStop::Answered) => false,
            Err(SendStop::Failed(fault)) => return Err((fault, scratch)),
        };
        let (arrived, scratch) = connection.read_head(head.method(), scratch).await;
        match arrived {
            Ok(arrived) => {
                let mut response = Response::new(self, connection.clone(), arrived, scratch);
                if !whole {
                    response.abandon();
                }
                Ok(response)
            }
            Err(fault) => Err((fault, scratch)),
        }
    }

    /// A connection: the one that rested last, if it is still alive, else a
    /// fresh one.
    ///
    /// # Errors
    /// The name does not resolve, or no address takes a connection.
    pub async fn connection(&self) -> Result<Connection, NetError> {
        loop {
            let Some((since, connection)) = self.idle.borrow_mut().pop() else { break };
            let rested = self.ring.now().saturating_duration_since(since);
            // Bytes that nobody asked for are as bad as an end of the stream.
            if rested < self.patience.idle && connection.transport().is_at_rest() {
                return Ok(connection.again());
            }
        }
        self.connect().await
    }

    /// A fresh connection.
    ///
    /// # Errors
    /// As [`Origin::connection`].
    pub async fn connect(&self) -> Result<Connection, NetError> {
        let reached = self.dial.connect().await?;
        let transport = self.wrap(reached.fd).await?;
        let connection = Connection::new(self.ring.clone(), transport, self.patience, false);
        Ok(connection.through(reached.forward))
    }

    /// What carries bytes over a connected socket; a handshake with TLS.
    async fn wrap(&self, fd: Fd) -> Result<Transport, NetError> {
        match self.wire {
            Wire::Plain => Ok(Transport::Plain(fd)),
            Wire::Tls => {
                let tls = &self.network.tls;
                let stream = tls.connect(&self.ring, fd, &self.host, &self.patience).await?;
                Ok(Transport::Tls(Rc::new(stream)))
            }
        }
    }

    /// Takes a connection back that may serve again.
    pub(super) fn rest(&self, connection: &Connection) {
        let (mut idle, now) = (self.idle.borrow_mut(), self.ring.now());
        // The last to rest is the first to serve: the others would stay open
        // for as long as the origin is asked for anything.
        idle.retain(|(since, _)| now.saturating_duration_since(*since) < self.patience.idle);
        if idle.len() == IDLE_CONNECTIONS_MAX {
            idle.remove(0);
        }
        idle.push((now, connection.clone()));
    }
}

#[cfg(test)]
mod tests;
