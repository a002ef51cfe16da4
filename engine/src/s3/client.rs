//! The SDK's HTTP client: HTTP/1.1 over the same names, proxies and trust that
//! shards use, so that there is one way out of the process and not two.
//!
//! It serves the control plane and every credential provider. Object bytes do
//! not come this way.
//!
//! ```text
//! SDK ─► Client (a pool per limit on connecting) ─► hyper's pool ─► net::dialer
//!                                           names, race, CONNECT, TLS ◄──┘
//! ```
//!
//! Limits: [`IDLE_MAX`] idle connections a host, for [`IDLE_FOR`]; a connection
//! buffers 64 KiB; an answer has at most [`ANSWER_BYTES_MAX`];
//! [`POOLS_MAX`] pools.

mod connect;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http::{HeaderValue, Uri};
use http_body_util::Limited;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::error::RetryClass;
use crate::net::dialer::Dialer;
use crate::net::proxy::tunnel::ProxyRefusal;
use crate::net::proxy::{Route, refuses_itself};
use crate::net::{NetError, Network, Patience};
use connect::{Connect, Unreached};

/// Idle connections kept of one host: the control plane asks one thing at a
/// time, give or take.
pub const IDLE_MAX: usize = 4;
/// How long they are kept.
pub const IDLE_FOR: Duration = Patience::DEFAULT.idle;
/// Limits on connecting: the control plane's and those of some providers.
pub const POOLS_MAX: usize = 8;
/// Bytes of an answer's body, whoever gives it: a page of a thousand keys of
/// 1,024 bytes, each byte written as three, and what stands around them.
pub const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Answers of the control plane are read at once or in lines of XML.
const BUFFER_BYTES: usize = 64 << 10;

/// A client over `network` for the SDK, the control plane's and a credential
/// provider's alike; where the SDK asks for another limit on connecting, that
/// one counts. Must be used on a tokio runtime.
pub fn http_client(network: &Network, patience: Patience) -> SharedHttpClient {
    SharedHttpClient::new(Client { network: network.clone(), patience, pools: Mutex::default() })
}

type Pool = legacy::Client<Connect, SdkBody>;

struct Client {
    network: Network,
    patience: Patience,
    /// By the limit on connecting; how long an answer may take is a request's
    /// own.
    pools: Mutex<Vec<(Option<Duration>, Pool)>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl HttpClient for Client {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let network = self.network.clone();
        let client = self.pool(settings.connect_timeout());
        let read_timeout = settings.read_timeout();
        SharedHttpConnector::new(Connector { network, client, read_timeout })
    }
}

impl Client {
    fn pool(&self, connect_timeout: Option<Duration>) -> Pool {
        let mut known = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pool)) = known.iter().find(|(other, _)| *other == connect_timeout) {
            return pool.clone();
        }
        if known.len() == POOLS_MAX {
            known.remove(0);
        }
        let connect = connect_timeout.unwrap_or(self.patience.connect);
        let patience = Patience { connect, ..self.patience };
        let dialer = Dialer::new(self.network.clone(), patience);
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE_MAX)
            .http1_max_buf_size(BUFFER_BYTES)
            .build(Connect(dialer));
        known.push((connect_timeout, pool.clone()));
        pool
    }
}

#[derive(Clone)]
struct Connector {
    network: Network,
    client: Pool,
    read_timeout: Option<Duration>,
}

impl Connector {
    async fn exchange(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let mut request =
            request.try_into_http1x().map_err(|fault| ConnectorError::user(fault.into()))?;
        let forward = forward(&self.network, request.uri());
        if let Some(Route::Forward(proxy)) = &forward
            && let Some(value) = &proxy.authorization
            && let Ok(mut value) = HeaderValue::from_str(value.reveal())
        {
            value.set_sensitive(true);
            request.headers_mut().insert(http::header::PROXY_AUTHORIZATION, value);
        }
        let target = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let answer = self.client.request(request);
        let answer = match self.read_timeout {
            None => answer.await,
            Some(limit) => tokio::time::timeout(limit, answer).await.map_err(|_| {
                let silent = NetError::Silent { what: "no answer came", limit };
                unreached(&Unreached::from(silent))
            })?,
        };
        let answer = answer.map_err(classified)?;
        let status = answer.status().as_u16();
        let kind = answer.headers().get(http::header::CONTENT_TYPE).and_then(|k| k.to_str().ok());
        let from_store = answer.headers().contains_key("x-amz-request-id");
        if let Some(Route::Forward(proxy)) = &forward
            && refuses_itself(status, kind, from_store)
        {
            let refusal = ProxyRefusal::new(proxy, target, Some(status));
            return Err(unreached(&Unreached::from(NetError::from(refusal))));
        }
        let bounded = |body| SdkBody::from_body_1_x(Limited::new(body, ANSWER_BYTES_MAX));
        HttpResponse::try_from(answer.map(bounded))
            .map_err(|fault| ConnectorError::other(fault.into(), None))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().exchange(request))
    }
}

/// The route, if the proxy reads the requests themselves.
fn forward(network: &Network, uri: &Uri) -> Option<Route> {
    let (wire, host, port) = connect::target(uri)?;
    let route = network.proxies.route(wire, host, port).ok()?;
    matches!(route, Route::Forward(_)).then_some(route)
}

/// The failure of a request as the SDK and `outcome` tell them apart.
fn classified(fault: legacy::Error) -> ConnectorError {
    if let Some(fault) = find::<Unreached>(&fault) {
        return unreached(fault).never_connected();
    }
    // A peer may refuse us in TLS 1.3 after the handshake has ended for us.
    if let Some(session) = find::<io::Error>(&fault).and_then(NetError::of_session) {
        return unreached(&Unreached::from(session));
    }
    match find::<hyper::Error>(&fault) {
        Some(inner) if inner.is_timeout() => ConnectorError::timeout(Box::new(fault)),
        Some(inner) if inner.is_user() => ConnectorError::user(Box::new(fault)),
        // An answer that is none.
        Some(inner) if inner.is_parse() => ConnectorError::other(Box::new(fault), None),
        // Anything else is a connection that broke.
        _ => ConnectorError::io(Box::new(fault)),
    }
}

fn unreached(fault: &Unreached) -> ConnectorError {
    let source = Box::new(fault.clone());
    match fault.fault().verdict() {
        (_, RetryClass::Retry) if matches!(fault.fault(), NetError::Silent { .. }) => {
            ConnectorError::timeout(source)
        }
        (_, RetryClass::Retry) => ConnectorError::io(source),
        _ => ConnectorError::other(source, None),
    }
}

/// What failed below HTTP, somewhere in a chain of errors.
pub(super) fn net_fault<'a>(fault: &'a (dyn StdError + 'static)) -> Option<&'a NetError> {
    find::<Unreached>(fault).map(Unreached::fault)
}

fn find<'a, E: StdError + 'static>(fault: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(fault);
    while let Some(fault) = next {
        if let Some(found) = fault.downcast_ref::<E>() {
            return Some(found);
        }
        next = fault.source();
    }
    None
}
