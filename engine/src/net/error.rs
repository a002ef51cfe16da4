//! What can go wrong below S3. A message does not repeat its source: whoever
//! shows it shows the chain.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::http1::{BodyFault, HeadFault};
use super::names::NameFault;
use super::proxy::ProxySetting;
use super::proxy::tunnel::ProxyRefusal;
use super::tls::TlsFault;
use crate::error::{Error, ErrorKind, RetryClass};

/// A failure of the transport.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The name gave no address.
    #[error(transparent)]
    Name(#[from] NameFault),
    /// No address of the host takes a connection.
    #[error("{address} takes no connection")]
    Connect {
        /// The address tried last.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The proxy itself cannot be reached.
    #[error("the proxy {proxy}, which a proxy variable names, cannot be reached")]
    Proxy {
        /// The proxy, without its credentials.
        proxy: String,
        /// Why.
        source: Box<NetError>,
    },
    /// The proxy did not do what was asked.
    #[error(transparent)]
    ProxyRefusal(#[from] ProxyRefusal),
    /// A proxy variable cannot be used.
    #[error(transparent)]
    ProxySetting(#[from] ProxySetting),
    /// Nothing happened for too long.
    #[error("{what} for {limit:?}")]
    Silent {
        /// What was waited for, as "no … came".
        what: &'static str,
        /// The limit that passed.
        limit: Duration,
    },
    /// The connection ended before any byte of the answer.
    #[error("the connection was closed before an answer came")]
    Unanswered,
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// The TLS session cannot be begun, or not gone on with.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// Nothing was tried: a setting forbids it, or this machine has no means.
    #[error(transparent)]
    Refused(Error),
    /// The answer's head cannot be trusted.
    #[error(transparent)]
    Head(#[from] HeadFault),
    /// The answer's body cannot be read on.
    #[error(transparent)]
    Body(#[from] BodyFault),
}

impl NetError {
    /// What a receive failed with; the session's own fault where it has one.
    pub(super) fn of_stream(fault: io::Error) -> Self {
        match fault.downcast::<TlsFault>() {
            Ok(fault) => Self::Tls(fault),
            Err(fault) => Self::Broken(fault),
        }
    }

    /// What a handshake through an adapter failed with: it wraps the session's
    /// own fault.
    pub(crate) fn of_handshake(fault: io::Error, host: &str) -> Self {
        match fault.downcast::<rustls::Error>() {
            Ok(fault) => Self::Tls(TlsFault::of(fault, host)),
            Err(fault) => Self::Broken(fault),
        }
    }

    /// What the session under an adapter's stream failed with.
    pub(crate) fn of_session(fault: &io::Error) -> Option<Self> {
        let fault = fault.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(Self::Tls(TlsFault::established(fault.clone())))
    }

    /// Whether the peer may have ended a connection that was at rest, rather
    /// than answered.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Tls(TlsFault::Cut))
    }

    /// The failure as a sentence about `endpoint`.
    pub fn at(self, endpoint: &str) -> Error {
        if let Self::Refused(error) = self {
            return error;
        }
        let (kind, class) = self.verdict();
        Error::new(kind, self.sentence(endpoint)).in_class(class).because(self)
    }

    /// No address took a connection: the last failure stands for all.
    pub(crate) fn refused(mut failed: Vec<(SocketAddr, io::Error)>) -> Self {
        match failed.pop() {
            Some((address, source)) => Self::Connect { address, source },
            // A name always has an address.
            None => Self::Unanswered,
        }
    }

    /// What was attempted, without the cause, which `self` is.
    pub fn sentence(&self, endpoint: &str) -> String {
        match self {
            Self::Connect { .. } => {
                format!("cannot reach {endpoint}: check the endpoint URL and the network")
            }
            Self::Tls(fault) => fault.sentence(endpoint),
            Self::Refused(error) => error.to_string(),
            // These bring their remedies along.
            Self::Name(_) | Self::Proxy { .. } | Self::ProxyRefusal(_) | Self::ProxySetting(_) => {
                format!("cannot reach {endpoint}")
            }
            Self::Silent { .. } | Self::Unanswered | Self::Broken(_) | Self::Body(_) => {
                format!("lost the connection to {endpoint}")
            }
            Self::Head(_) => {
                format!("{endpoint} does not answer as an S3 store does: check the endpoint URL")
            }
        }
    }

    /// What the failure means, and whether another attempt may end otherwise.
    pub fn verdict(&self) -> (ErrorKind, RetryClass) {
        match self {
            Self::Name(fault) if fault.passes() => (ErrorKind::Unreachable, RetryClass::Retry),
            Self::Name(_) => (ErrorKind::Unreachable, RetryClass::Fatal),
            Self::Proxy { source, .. } => source.verdict(),
            Self::ProxyRefusal(refusal) => match refusal.status {
                Some(500..) => (ErrorKind::Unreachable, RetryClass::Retry),
                // These are not the store's credentials: fresh ones do not help.
                Some(401 | 403 | 407) => (ErrorKind::Denied, RetryClass::Fatal),
                _ => (ErrorKind::Config, RetryClass::Fatal),
            },
            Self::ProxySetting(_) => (ErrorKind::Config, RetryClass::Fatal),
            Self::Tls(fault) => fault.verdict(),
            Self::Refused(error) => (error.kind(), error.class()),
            Self::Connect { .. }
            | Self::Silent { .. }
            | Self::Unanswered
            | Self::Broken(_)
            | Self::Body(_) => (ErrorKind::Unreachable, RetryClass::Retry),
            // A proxy in trouble garbles one answer and not the next.
            Self::Head(_) => (ErrorKind::Protocol, RetryClass::Retry),
        }
    }
}
