//! From a URI to a connection on tokio: the twin of `net::dial` on the ring.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::carrier::Carrier;
use crate::net::connect::reach;
use crate::net::proxy::tunnel::{self, ProxyRefusal};
use crate::net::proxy::{Proxy, Route, authority};
use crate::net::tls::{TlsFault, Wire};
use crate::net::{NetError, Network, Patience};

/// A failure below HTTP; cloned out of hyper's own error.
#[derive(Clone, Debug)]
pub(super) struct Unreached(Arc<NetError>);

impl Unreached {
    pub(super) fn fault(&self) -> &NetError {
        &self.0
    }
}

impl From<NetError> for Unreached {
    fn from(fault: NetError) -> Self {
        Self(Arc::new(fault))
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Unreached {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Connects; clones share the rotation.
#[derive(Clone)]
pub(super) struct Dialer {
    network: Network,
    /// One address's TCP handshake, or one TLS handshake.
    connect_timeout: Duration,
    turn: Arc<AtomicUsize>,
}

/// Scheme, host without brackets, and port of a URI.
pub(super) fn target(uri: &Uri) -> Option<(Wire, String, u16)> {
    let (wire, port) = match uri.scheme_str() {
        Some("http") => (Wire::Plain, 80),
        Some("https") => (Wire::Tls, 443),
        _ => return None,
    };
    let host = uri.host()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((wire, host.to_owned(), uri.port_u16().unwrap_or(port)))
}

impl Dialer {
    pub(super) fn new(network: &Network, connect_timeout: Duration) -> Self {
        Self { network: network.clone(), connect_timeout, turn: Arc::default() }
    }

    async fn dial(self, uri: Uri) -> Result<TokioIo<Carrier>, NetError> {
        let (wire, host, port) = target(&uri).ok_or_else(|| {
            NetError::Broken(io::Error::other("the URI is neither http nor https"))
        })?;
        let route = self.network.proxies.route(wire, &host, port)?;
        let mut tcp = match &route {
            Route::Direct => self.reach(&host, port).await?,
            Route::Forward(proxy) | Route::Tunnel(proxy) => {
                self.reach(&proxy.host, proxy.port).await.map_err(|source| NetError::Proxy {
                    proxy: proxy.to_string(),
                    source: Box::new(source),
                })?
            }
        };
        if let Route::Tunnel(proxy) = &route {
            open_tunnel(&mut tcp, proxy, &host, port).await?;
        }
        let carrier = match wire {
            Wire::Plain => Carrier::Plain { tcp, forwarded: matches!(route, Route::Forward(_)) },
            Wire::Tls => self.encrypted(tcp, host).await?,
        };
        Ok(TokioIo::new(carrier))
    }

    async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, NetError> {
        let limit = Patience::DEFAULT.resolve;
        let found = timeout(limit, self.network.names.lookup(host)).await.map_err(|_| {
            NetError::Silent { what: "no answer from the name servers came", limit }
        })??;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let connect = |address: SocketAddr| async move {
            let connected = timeout(self.connect_timeout, TcpStream::connect(address)).await;
            let tcp = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            tcp.set_nodelay(true)?;
            Ok(tcp)
        };
        let (shunned, sleep) = (&self.network.shunned, tokio::time::sleep);
        reach(shunned, &found, (port, turn), connect, sleep, Instant::now)
            .await
            .inspect_err(|_| self.network.names.doubt(host))
    }

    async fn encrypted(&self, tcp: TcpStream, host: String) -> Result<Carrier, NetError> {
        let config = self.network.tls.client_config().map_err(NetError::Refused)?;
        let name = host.trim_end_matches('.').to_owned();
        let name = ServerName::try_from(name).map_err(|_| TlsFault::Name(host.clone()))?;
        let limit = self.connect_timeout;
        let handshake = TlsConnector::from(config).connect(name, tcp);
        match timeout(limit, handshake).await {
            Ok(Ok(tls)) => Ok(Carrier::Tls(Box::new(tls))),
            Ok(Err(fault)) => Err(NetError::of_handshake(fault, &host)),
            Err(_) => Err(NetError::Silent { what: "no end of the TLS handshake came", limit }),
        }
    }
}

async fn open_tunnel(
    tcp: &mut TcpStream,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<(), NetError> {
    let limit = Patience::DEFAULT.first_byte;
    let asked = timeout(limit, ask_for_tunnel(tcp, proxy, host, port)).await;
    asked.map_err(|_| NetError::Silent { what: "no answer from the proxy came", limit })?
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

impl tower_service::Service<Uri> for Dialer {
    type Response = TokioIo<Carrier>;
    type Error = Unreached;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unreached>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreached>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { dialer.dial(uri).await.map_err(Unreached::from) })
    }
}
