//! What can go wrong below S3.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::http1::{BodyFault, HeadFault};
use super::tls::TlsFault;
use crate::error::{Error, ErrorKind, RetryClass};

/// A failure of the transport.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The name has no address.
    #[error("the name {host} does not resolve: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's answer.
        source: io::Error,
    },
    /// No address of the host takes a connection.
    #[error("{address} takes no connection: {source}")]
    Connect {
        /// The address tried last.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
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
    #[error("the connection broke: {0}")]
    Broken(#[source] io::Error),
    /// The TLS session cannot be begun, or not gone on with.
    #[error("{0}")]
    Tls(#[from] TlsFault),
    /// Nothing was tried: a setting forbids it, or this machine has no means.
    #[error("{0}")]
    Refused(#[source] Error),
    /// The answer's head cannot be trusted.
    #[error("{0}")]
    Head(#[from] HeadFault),
    /// The answer's body cannot be read on.
    #[error("{0}")]
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

    /// Whether the peer may have ended a connection that was at rest, rather
    /// than answered.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Tls(TlsFault::Cut))
    }

    /// The failure as a sentence about `endpoint`.
    pub fn at(self, endpoint: &str) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::Tls(fault) => fault.at(endpoint),
            fault @ (Self::Resolve { .. } | Self::Connect { .. }) => Error::new(
                ErrorKind::Unreachable,
                format!("cannot reach {endpoint}: check the endpoint URL and the network"),
            )
            .because(fault),
            fault @ (Self::Silent { .. } | Self::Unanswered | Self::Broken(_) | Self::Body(_)) => {
                Error::new(ErrorKind::Unreachable, format!("lost the connection to {endpoint}"))
                    .because(fault)
            }
            // A proxy in trouble garbles one answer and not the next.
            fault @ Self::Head(_) => Error::new(
                ErrorKind::Protocol,
                format!("{endpoint} does not answer as an S3 store does: check the endpoint URL"),
            )
            .in_class(RetryClass::Retry)
            .because(fault),
        }
    }
}
