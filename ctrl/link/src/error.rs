//! Why a dial, a call or a connection failed.

/// The reasons.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address cannot be understood.
    #[error("{0}")]
    Address(String),
    /// Nobody could be reached there, or the peer is not trusted.
    #[error("{place}: {reason}")]
    Unreached {
        /// `host:port`.
        place: String,
        /// The cause, and the remedy where there is one.
        reason: String,
    },
    /// The service answered a WebSocket dial with something else.
    #[error("{place} answered {status}{}{body}", if body.is_empty() { "" } else { ": " })]
    Refused {
        /// `host:port`.
        place: String,
        /// HTTP status.
        status: u16,
        /// The begin of the body.
        body: String,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// Nothing came in time.
    #[error("{place}: no answer within {seconds} s")]
    Silent {
        /// `host:port`.
        place: String,
        /// The limit.
        seconds: u64,
    },
}
