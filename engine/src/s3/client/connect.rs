//! The process's dialer as hyper's pool asks for it: by URI.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;

use crate::net::dialer::{Carrier, Dialer};
use crate::net::{NetError, Wire};

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

/// Scheme, host without brackets, and port of a URI.
pub(super) fn target(uri: &Uri) -> Option<(Wire, &str, u16)> {
    let (wire, port) = match uri.scheme_str() {
        Some("http") => (Wire::Plain, 80),
        Some("https") => (Wire::Tls, 443),
        _ => return None,
    };
    let host = uri.host()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((wire, host, uri.port_u16().unwrap_or(port)))
}

/// A [`Dialer`] for hyper.
#[derive(Clone)]
pub(super) struct Connect(pub(super) Dialer);

impl Connect {
    async fn dial(self, uri: Uri) -> Result<TokioIo<Carrier>, NetError> {
        let (wire, host, port) = target(&uri).ok_or_else(|| {
            NetError::Broken(io::Error::other("the URI is neither http nor https"))
        })?;
        self.0.dial(wire, host, port).await.map(TokioIo::new)
    }
}

impl tower_service::Service<Uri> for Connect {
    type Response = TokioIo<Carrier>;
    type Error = Unreached;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unreached>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreached>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connect = self.clone();
        Box::pin(async move { connect.dial(uri).await.map_err(Unreached::from) })
    }
}
