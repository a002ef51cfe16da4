//! From a host to a TCP connection on the ring, through a proxy where one is
//! set.
//!
//! ```text
//! route ─► names ─► order ─► race ─► (CONNECT) ─► Reached ─► TLS, by whoever asked
//! ```

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::connect::reach;
use super::error::NetError;
use super::http1::{RequestHead, ResponseHead};
use super::network::Network;
use super::proxy::tunnel::{self, ProxyRefusal};
use super::proxy::{self, Proxy, Route, authority};
use super::tls::Wire;
use crate::mem::{Pool, Slice};
use crate::ring::{Fd, Ring};
use crate::waits::Patience;

/// How one host and port is reached, on one ring.
pub struct Dial {
    ring: Ring,
    network: Network,
    wire: Wire,
    host: String,
    port: u16,
    patience: Patience,
    turn: Cell<usize>,
}

/// A connection to the endpoint or, for plain HTTP through a proxy, to that.
pub struct Reached {
    /// The socket. Nothing but CONNECT has been said on it.
    pub fd: Fd,
    /// Set when requests have to be written for a proxy.
    pub forward: Option<Rc<Forward>>,
}

/// A proxy at the other end, which sends requests on.
pub struct Forward {
    proxy: Arc<Proxy>,
    target: String,
}

impl Forward {
    /// The head in absolute form.
    pub(super) fn head(&self, head: &RequestHead) -> Vec<u8> {
        let authorization = self.proxy.authorization.as_ref().map(|value| value.reveal());
        head.forwarded(&format!("http://{}", self.target), authorization)
    }

    /// The answer, if it is the proxy's own.
    pub(super) fn refusal(&self, head: &ResponseHead) -> Option<ProxyRefusal> {
        let from_store = head.field("x-amz-request-id").is_some();
        proxy::refuses_itself(head.status, head.field("content-type"), from_store)
            .then(|| ProxyRefusal::new(&self.proxy, &self.target, Some(head.status)))
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").field("proxy", &self.proxy).finish_non_exhaustive()
    }
}

impl Dial {
    /// A way to `host` (a name, or an address without brackets); nothing is
    /// asked or connected yet.
    pub fn new(
        ring: Ring,
        network: Network,
        wire: Wire,
        host: impl Into<String>,
        port: u16,
        patience: Patience,
    ) -> Self {
        Self { ring, network, wire, host: host.into(), port, patience, turn: Cell::new(0) }
    }

    /// A fresh connection.
    ///
    /// # Errors
    /// The name has no address, no address takes a connection, or a proxy is
    /// in the way.
    pub async fn connect(&self) -> Result<Reached, NetError> {
        match self.network.proxies.route(self.wire, &self.host, self.port)? {
            Route::Direct => {
                let fd = self.reach(&self.host, self.port).await?;
                Ok(Reached { fd, forward: None })
            }
            Route::Forward(proxy) => {
                let fd = self.reach_proxy(&proxy).await?;
                let whole = authority(&self.host, self.port);
                let target = whole.strip_suffix(":80").unwrap_or(&whole).to_owned();
                Ok(Reached { fd, forward: Some(Rc::new(Forward { proxy, target })) })
            }
            Route::Tunnel(proxy) => {
                let fd = self.reach_proxy(&proxy).await?;
                self.tunnel(&fd, &proxy).await?;
                Ok(Reached { fd, forward: None })
            }
        }
    }

    async fn reach_proxy(&self, proxy: &Proxy) -> Result<Fd, NetError> {
        self.reach(&proxy.host, proxy.port).await.map_err(|source| NetError::Proxy {
            proxy: proxy.to_string(),
            source: Box::new(source),
        })
    }

    /// The first of the host's addresses that takes a connection.
    async fn reach(&self, host: &str, port: u16) -> Result<Fd, NetError> {
        let lookup = self.network.names.lookup(host);
        let found = match self.ring.within(self.patience.resolve, lookup).await {
            Some(found) => found?,
            None => {
                let what = "no answer from the name servers came";
                return Err(NetError::Silent { what, limit: self.patience.resolve });
            }
        };
        let turn = self.turn.replace(self.turn.get().wrapping_add(1));
        let connect = |address: SocketAddr| async move {
            let connect = self.ring.connect(address);
            let connected = self.ring.within(self.patience.connect, connect).await;
            connected.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
        };
        let sleep = |pause| self.ring.sleep_until(self.ring.now() + pause);
        let now = || self.ring.now();
        reach(&self.network.shunned, &found, (port, turn), connect, sleep, now)
            .await
            .inspect_err(|_| self.network.names.doubt(host))
    }

    /// Asks the proxy for a tunnel; all of its answer has to come in time.
    async fn tunnel(&self, fd: &Fd, proxy: &Proxy) -> Result<(), NetError> {
        let limit = self.patience.first_byte;
        let asked = self.ring.within(limit, self.ask_for_tunnel(fd, proxy)).await;
        asked.ok_or(NetError::Silent { what: "no answer from the proxy came", limit })?
    }

    /// The few bytes go through a buffer of their own: a caller's may hold a
    /// part.
    async fn ask_for_tunnel(&self, fd: &Fd, proxy: &Proxy) -> Result<(), NetError> {
        let pool = Pool::new(1, tunnel::ANSWER_BYTES_MAX).map_err(NetError::Broken)?;
        let lease = pool.lease(1).await;
        let target = authority(&self.host, self.port);
        let refusal = |status| ProxyRefusal::new(proxy, target.clone(), status);
        let mut buffer = lease.take().ok_or_else(|| refusal(None))?;
        let request = tunnel::request(proxy, &self.host, self.port);
        let end = request.len();
        buffer.get_mut(..end).ok_or_else(|| refusal(None))?.copy_from_slice(request.as_bytes());
        let mut slice = Slice { buffer, start: 0, end };
        while slice.start < slice.end {
            let (sent, back) = self.ring.send(fd, slice).await;
            slice = back;
            slice.start += sent.map_err(NetError::Broken)?;
        }
        let (mut buffer, mut filled) = (slice.buffer, 0);
        loop {
            let into = filled..buffer.len();
            let (received, back) = self.ring.recv(fd, buffer, into).await;
            buffer = back;
            match received.map_err(NetError::Broken)? {
                0 => return Err(refusal(None).into()),
                bytes => filled += bytes,
            }
            if let Some(answer) = tunnel::answer(&buffer[..filled]) {
                return answer.map_err(|status| refusal(status).into());
            }
        }
    }
}
