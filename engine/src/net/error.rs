//! What can go wrong below S3. A message does not repeat its source: whoever
//! shows it shows the chain.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::http1::{BodyFault, HeadFault};
use super::names::NameFault;
use super::proxy::ProxySetting;
use super::proxy::tunnel::ProxyRefusal;
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
    /// TLS could not be begun, by the SDK's client.
    #[error("the TLS handshake with {host} failed")]
    Handshake {
        /// Whom the certificate should name.
        host: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The answer's head cannot be trusted.
    #[error(transparent)]
    Head(#[from] HeadFault),
    /// The answer's body cannot be read on.
    #[error(transparent)]
    Body(#[from] BodyFault),
}

impl NetError {
    /// The failure as a sentence about `endpoint`.
    pub fn at(self, endpoint: &str) -> Error {
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
            Self::Handshake { source, .. } if is_distrust(source) => format!(
                "cannot trust {endpoint}: name its CA's certificate with --ca-bundle or \
                 AWS_CA_BUNDLE, and check the endpoint's name and this machine's clock"
            ),
            // These bring their remedies along.
            Self::Name(_) | Self::Proxy { .. } | Self::ProxyRefusal(_) | Self::ProxySetting(_) => {
                format!("cannot reach {endpoint}")
            }
            Self::Silent { .. }
            | Self::Unanswered
            | Self::Broken(_)
            | Self::Handshake { .. }
            | Self::Body(_) => {
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
            Self::Handshake { source, .. } if is_distrust(source) => {
                (ErrorKind::Config, RetryClass::Fatal)
            }
            Self::Connect { .. }
            | Self::Handshake { .. }
            | Self::Silent { .. }
            | Self::Unanswered
            | Self::Broken(_)
            | Self::Body(_) => (ErrorKind::Unreachable, RetryClass::Retry),
            // A proxy in trouble garbles one answer and not the next.
            Self::Head(_) => (ErrorKind::Protocol, RetryClass::Retry),
        }
    }
}

/// Whether a handshake failed because of the certificate: another one would
/// end the same way.
fn is_distrust(fault: &io::Error) -> bool {
    let inner = fault.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}
