//! What can go wrong below S3.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::http1::{BodyFault, HeadFault};
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
    /// The answer's head cannot be trusted.
    #[error("{0}")]
    Head(#[from] HeadFault),
    /// The answer's body cannot be read on.
    #[error("{0}")]
    Body(#[from] BodyFault),
}

impl NetError {
    /// The failure as a sentence about `endpoint`.
    pub fn at(self, endpoint: &str) -> Error {
        let (kind, sentence) = match &self {
            Self::Resolve { .. } | Self::Connect { .. } => (
                ErrorKind::Unreachable,
                format!("cannot reach {endpoint}: check the endpoint URL and the network"),
            ),
            Self::Silent { .. } | Self::Unanswered | Self::Broken(_) | Self::Body(_) => {
                (ErrorKind::Unreachable, format!("lost the connection to {endpoint}"))
            }
            Self::Head(_) => (
                ErrorKind::Protocol,
                format!("{endpoint} does not answer as an S3 store does: check the endpoint URL"),
            ),
        };
        // A proxy in trouble garbles one answer and not the next.
        let class = match kind {
            ErrorKind::Protocol => RetryClass::Retry,
            kind => kind.class(),
        };
        Error::new(kind, sentence).in_class(class).because(self)
    }
}
