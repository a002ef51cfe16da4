//! Proxies: which one stands before an endpoint, and how to talk through it.
//!
//! ```text
//! https endpoint ─► Route::Tunnel: CONNECT host:port, then TLS end to end
//! http endpoint  ─► Route::Forward: GET http://host/key, the proxy asks on
//! NO_PROXY, loopback, link-local ─► Route::Direct
//! ```
//!
//! Invariants: a password is in no message and no `Debug` output, and goes to
//! the proxy alone; what is link-local (the metadata services with their
//! credentials) is never asked for through a proxy. Not here: SOCKS, proxies
//! that are themselves behind TLS, PAC files, Digest and NTLM.

mod bypass;
mod setting;
pub mod tunnel;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::access::{ProxyVariables, Secret};
use crate::net::tls::Wire;
use bypass::Bypass;
pub use setting::ProxySetting;

/// An HTTP proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The value of `Proxy-Authorization`.
    pub authorization: Option<Secret>,
}

/// How an endpoint is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Without a proxy.
    Direct,
    /// The proxy sends each request on.
    Forward(Arc<Proxy>),
    /// The proxy passes bytes through.
    Tunnel(Arc<Proxy>),
}

type Setting = Option<Result<Arc<Proxy>, ProxySetting>>;

/// The proxies in use; none by default. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<Rules>);

#[derive(Debug, Default)]
struct Rules {
    https: Setting,
    http: Setting,
    bypass: Bypass,
}

impl Proxies {
    /// The proxies that the variables name. A value that cannot be used is an
    /// error of the endpoints that need it, and of no other.
    pub fn of(variables: &ProxyVariables) -> Self {
        let setting = |named: &Option<(&'static str, Secret)>| -> Setting {
            let (name, value) = named.as_ref()?;
            Some(setting::parse(name, value.reveal()).map(Arc::new))
        };
        Self(Arc::new(Rules {
            https: setting(&variables.https),
            http: setting(&variables.http),
            bypass: Bypass::parse(variables.bypass.as_deref().unwrap_or_default()),
        }))
    }

    /// How to reach `host` (without brackets).
    ///
    /// # Errors
    /// The variable that applies cannot be used.
    pub fn route(&self, wire: Wire, host: &str, port: u16) -> Result<Route, ProxySetting> {
        let setting = match wire {
            Wire::Plain => &self.0.http,
            Wire::Tls => &self.0.https,
        };
        let Some(setting) = setting else { return Ok(Route::Direct) };
        if self.0.bypass.covers(host, port) {
            return Ok(Route::Direct);
        }
        let proxy = Arc::clone(setting.as_ref().map_err(ProxySetting::clone)?);
        Ok(match wire {
            Wire::Plain => Route::Forward(proxy),
            Wire::Tls => Route::Tunnel(proxy),
        })
    }
}

impl Proxy {
    /// A proxy with credentials, or none.
    pub fn new(host: &str, port: u16, user: Option<(&str, &str)>) -> Self {
        let authorization = user.map(|(name, password)| {
            Secret::new(format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
        });
        Self { host: host.to_owned(), port, authorization }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", authority(&self.host, self.port))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// `host:port`, an IPv6 address in brackets.
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Whether an answer that came through a forwarding proxy is the proxy's own.
/// No store answers 407; the other refusals are the proxy's when they come as
/// a page for people, which a store's never do (some proxies say 401 where
/// they mean 407).
pub fn refuses_itself(status: u16, content_type: Option<&str>, from_store: bool) -> bool {
    let page = content_type.is_some_and(|kind| kind.starts_with("text/html"));
    match status {
        407 => true,
        401 | 403 | 500..=504 => page && !from_store,
        _ => false,
    }
}
