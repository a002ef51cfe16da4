//! From a host to a connection on tokio: the twin of [`super::dial`] on the
//! ring, for the SDK, the service and everything else that is not object bytes.
//!
//! ```text
//! route ─► names ─► order ─► race ─► (CONNECT) ─► (TLS) ─► Carrier
//! ```
//!
//! Invariants: one way out of the process: names, proxies, shunned addresses
//! and trust are the [`Network`]'s. Each wait has a limit of [`Patience`]:
//! names `resolve`, each address `connect`, a proxy's answer `first_byte`, TLS
//! `handshake`. Dropping a dial closes what it had opened.

mod carrier;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connect::reach;
use super::proxy::tunnel::{self, ProxyRefusal};
use super::proxy::{Proxy, Route, authority};
use super::tls::{TlsFault, Wire};
use super::{NetError, Network, Patience};
pub use carrier::Carrier;

/// Connects; clones share the rotation. Must be used on a tokio runtime.
#[derive(Clone, Debug)]
pub struct Dialer {
    network: Network,
    patience: Patience,
    turn: Arc<AtomicUsize>,
}

impl Dialer {
    /// A way out; nothing is asked or connected yet.
    pub fn new(network: Network, patience: Patience) -> Self {
        Self { network, patience, turn: Arc::default() }
    }

    /// A connection on which requests are said: to `host` (a name, or an
    /// address without brackets), or to the proxy that sends plain requests on;
    /// then [`Carrier::forward`] is set.
    ///
    /// # Errors
    /// The name has no address, no address takes a connection, a proxy is in
    /// the way, or the peer is not to be trusted.
    pub async fn dial(&self, wire: Wire, host: &str, port: u16) -> Result<Carrier, NetError> {
        match self.network.proxies.route(wire, host, port)? {
            Route::Forward(proxy) => Ok(Carrier::plain(self.to_proxy(&proxy).await?, Some(proxy))),
            route => self.through(route, wire, host, port).await,
        }
    }

    /// A connection whose other end is `host` itself, whatever is said on it:
    /// a proxy has to pass all bytes through.
    ///
    /// # Errors
    /// As [`Dialer::dial`].
    pub async fn stream(&self, wire: Wire, host: &str, port: u16) -> Result<Carrier, NetError> {
        let route = self.network.proxies.route(wire, host, port)?;
        self.through(route, wire, host, port).await
    }

    async fn through(
        &self,
        route: Route,
        wire: Wire,
        host: &str,
        port: u16,
    ) -> Result<Carrier, NetError> {
        let tcp = match route {
            Route::Direct => self.reach(host, port).await?,
            Route::Forward(proxy) | Route::Tunnel(proxy) => {
                let mut tcp = self.to_proxy(&proxy).await?;
                self.open_tunnel(&mut tcp, &proxy, host, port).await?;
                tcp
            }
        };
        match wire {
            Wire::Plain => Ok(Carrier::plain(tcp, None)),
            Wire::Tls => self.encrypted(tcp, host).await,
        }
    }

    async fn to_proxy(&self, proxy: &Proxy) -> Result<TcpStream, NetError> {
        self.reach(&proxy.host, proxy.port).await.map_err(|source| NetError::Proxy {
            proxy: proxy.to_string(),
            source: Box::new(source),
        })
    }

    async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, NetError> {
        let limit = self.patience.resolve;
        let found = timeout(limit, self.network.names.lookup(host)).await.map_err(|_| {
            NetError::Silent { what: "no answer from the name servers came", limit }
        })??;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let connect = |address: SocketAddr| async move {
            let connected = timeout(self.patience.connect, TcpStream::connect(address)).await;
            let tcp = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            tcp.set_nodelay(true)?;
            Ok(tcp)
        };
        let (shunned, sleep) = (&self.network.shunned, tokio::time::sleep);
        reach(shunned, &found, (port, turn), connect, sleep, Instant::now)
            .await
            .inspect_err(|_| self.network.names.doubt(host))
    }

    async fn encrypted(&self, tcp: TcpStream, host: &str) -> Result<Carrier, NetError> {
        let config = self.network.tls.client_config().map_err(NetError::Refused)?;
        let name = host.trim_end_matches('.').to_owned();
        let name = ServerName::try_from(name).map_err(|_| TlsFault::Name(host.to_owned()))?;
        let limit = self.patience.handshake;
        let handshake = TlsConnector::from(config).connect(name, tcp);
        match timeout(limit, handshake).await {
            Ok(Ok(tls)) => Ok(Carrier::tls(tls)),
            Ok(Err(fault)) => Err(NetError::of_handshake(fault, host)),
            Err(_) => Err(NetError::Silent { what: "no end of the TLS handshake came", limit }),
        }
    }

    async fn open_tunnel(
        &self,
        tcp: &mut TcpStream,
        proxy: &Proxy,
        host: &str,
        port: u16,
    ) -> Result<(), NetError> {
        let limit = self.patience.first_byte;
        let asked = timeout(limit, ask_for_tunnel(tcp, proxy, host, port)).await;
        asked.map_err(|_| NetError::Silent { what: "no answer from the proxy came", limit })?
    }
}

async fn ask_for_tunnel(
    tcp: &mut TcpStream,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<(), NetError> {
    let refusal = |status| ProxyRefusal::new(proxy, authority(host, port), status);
    let request = tunnel::request(proxy, host, port);
    tcp.write_all(request.as_bytes()).await.map_err(NetError::Broken)?;
    let mut answer = Vec::with_capacity(1_024);
    loop {
        let room = tunnel::ANSWER_BYTES_MAX - answer.len();
        let read = tcp.take(room as u64).read_buf(&mut answer).await.map_err(NetError::Broken)?;
        if read == 0 {
            return Err(refusal(None).into());
        }
        if let Some(answer) = tunnel::answer(&answer) {
            return answer.map_err(|status| refusal(status).into());
        }
    }
}
