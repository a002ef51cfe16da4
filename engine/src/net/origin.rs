//! One host and port: its addresses and its idle connections.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use super::connection::{Connection, SendStop};
use super::error::NetError;
use super::http1::RequestHead;
use super::network::Network;
use super::response::Response;
use super::transport::{Glance, Transport};
use crate::mem::Buffer;
use crate::ring::Ring;
use crate::waits::Patience;

/// Idle connections kept: as many as a window of parts ever uses.
pub const IDLE_CONNECTIONS_MAX: usize = 128;
/// Addresses kept of one name; S3 answers with eight.
const ADDRESSES_MAX: usize = 16;
/// Addresses tried before a request gives up.
const ADDRESS_TRIES_MAX: usize = 4;

/// A host and port, on one ring.
pub struct Origin {
    ring: Ring,
    network: Network,
    host: String,
    port: u16,
    patience: Patience,
    addresses: RefCell<Option<(Instant, Rc<[SocketAddr]>)>>,
    next: Cell<usize>,
    idle: RefCell<Vec<(Instant, Transport)>>,
}

impl Origin {
    /// An origin; nothing is resolved or connected yet.
    pub fn new(
        ring: Ring,
        network: Network,
        host: impl Into<String>,
        port: u16,
        patience: Patience,
    ) -> Rc<Self> {
        Rc::new(Self {
            ring,
            network,
            host: host.into(),
            port,
            patience,
            addresses: RefCell::default(),
            next: Cell::new(0),
            idle: RefCell::default(),
        })
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
        if let Err(SendStop::Failed(fault)) = sent {
            return Err((fault, scratch));
        }
        let (arrived, scratch) = connection.read_head(head.method(), scratch).await;
        match arrived {
            Ok(arrived) => Ok(Response::new(self, connection.clone(), arrived, scratch)),
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
            let Some((since, transport)) = self.idle.borrow_mut().pop() else { break };
            let rested = self.ring.now().saturating_duration_since(since);
            // Bytes that nobody asked for are as bad as an end of the stream.
            if rested < self.patience.idle && transport.glance() == Glance::Quiet {
                return Ok(Connection::new(self.ring.clone(), transport, self.patience, true));
            }
        }
        self.connect().await
    }

    /// A fresh connection to the next of the origin's addresses that takes it.
    ///
    /// # Errors
    /// As [`Origin::connection`].
    pub async fn connect(&self) -> Result<Connection, NetError> {
        let addresses = self.addresses().await?;
        let first = self.next.get();
        self.next.set(first.wrapping_add(1));
        let mut last = None;
        for turn in 0..addresses.len().min(ADDRESS_TRIES_MAX) {
            let address = addresses[first.wrapping_add(turn) % addresses.len()];
            let source = match self
                .ring
                .within(self.patience.connect, self.ring.connect(address))
                .await
            {
                Some(Ok(fd)) => {
                    let transport = Transport::Plain(fd);
                    return Ok(Connection::new(self.ring.clone(), transport, self.patience, false));
                }
                Some(Err(source)) => source,
                None => std::io::Error::from(std::io::ErrorKind::TimedOut),
            };
            last = Some(NetError::Connect { address, source });
        }
        // The next attempt asks for the name's addresses again.
        self.addresses.borrow_mut().take();
        Err(last.unwrap_or_else(|| self.unresolved(std::io::Error::other("it has no address"))))
    }

    /// Takes a connection back that may serve again.
    pub(super) fn rest(&self, connection: &Connection) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() == IDLE_CONNECTIONS_MAX {
            idle.remove(0);
        }
        idle.push((self.ring.now(), connection.transport().clone()));
    }

    async fn addresses(&self) -> Result<Rc<[SocketAddr]>, NetError> {
        let now = self.ring.now();
        if let Some((since, known)) = self.addresses.borrow().as_ref()
            && now.saturating_duration_since(*since) <= self.patience.addresses
        {
            return Ok(Rc::clone(known));
        }
        let (names, host, port) = (self.network.names.clone(), self.host.clone(), self.port);
        let lookup = self.ring.on_worker(move || {
            let found = names.lookup_blocking(&host)?;
            Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect::<Vec<_>>())
        });
        let mut found = match self.ring.within(self.patience.resolve, lookup).await {
            Some(found) => found.map_err(|source| self.unresolved(source))?,
            None => return Err(self.unresolved(std::io::ErrorKind::TimedOut.into())),
        };
        found.truncate(ADDRESSES_MAX);
        if found.is_empty() {
            return Err(self.unresolved(std::io::Error::other("it has no address")));
        }
        let found: Rc<[SocketAddr]> = found.into();
        *self.addresses.borrow_mut() = Some((now, Rc::clone(&found)));
        Ok(found)
    }

    fn unresolved(&self, source: std::io::Error) -> NetError {
        NetError::Resolve { host: self.host.clone(), source }
    }
}
