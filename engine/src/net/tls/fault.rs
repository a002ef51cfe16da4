//! What can go wrong in TLS, each with its own remedy.

use crate::error::{ErrorKind, RetryClass};

/// A failure of a TLS session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// Nobody who is trusted vouches for the certificate.
    #[error("its certificate is issued by nobody who is trusted here")]
    UnknownIssuer,
    /// Whoever signed is not who the names say.
    #[error("its certificate is not signed by the CA of that name that is trusted here")]
    Forged,
    /// The certificate is too old, or the clock is wrong.
    #[error("its certificate has expired")]
    Expired,
    /// The certificate is too new, or the clock is wrong.
    #[error("its certificate is not valid yet")]
    NotYetValid,
    /// The certificate is somebody else's.
    #[error("its certificate is for {presented}, not for {host}")]
    WrongName {
        /// Whom we meant.
        host: String,
        /// Whom it names.
        presented: String,
    },
    /// Something else about the certificate.
    #[error("its certificate cannot be used: {0}")]
    Certificate(String),
    /// The peer ended the session with an alert.
    #[error("it ended the TLS session: {0}")]
    Alert(String),
    /// The peer speaks another protocol.
    #[error("it does not speak TLS")]
    NotTls,
    /// No protocol version or cipher in common.
    #[error("it has no TLS version or cipher in common with this program (1.2 and 1.3): {0}")]
    Incompatible(String),
    /// The host cannot be named in a handshake.
    #[error("{0} is no name that a certificate could hold")]
    Name(String),
    /// The peer broke the protocol, or somebody between changed bytes.
    #[error("the TLS session broke: {0}")]
    Broken(String),
    /// The stream ended without a word.
    #[error("the TLS stream was cut: it ended without a close_notify")]
    Cut,
}

impl TlsFault {
    /// What was attempted, and the remedy.
    pub(in crate::net) fn sentence(&self, endpoint: &str) -> String {
        let (trust, speak) = ("cannot trust", "cannot speak TLS with");
        let (what, remedy) = match self {
            Self::UnknownIssuer | Self::Forged => {
                (trust, "name its CA's certificate (PEM) with --ca-bundle or AWS_CA_BUNDLE")
            }
            Self::Expired | Self::NotYetValid => {
                (trust, "renew the store's certificate, or set this machine's clock")
            }
            Self::WrongName { .. } | Self::Name(_) => (
                trust,
                "use the name in the certificate in the endpoint URL (and addressing_style path, \
                 where a bucket's name stands in front of it)",
            ),
            Self::Certificate(_) => (trust, "have the store's certificate replaced"),
            Self::NotTls => (speak, "use the store's https port, or an http:// URL"),
            Self::Alert(_) | Self::Incompatible(_) => (
                speak,
                "check the store's TLS versions, and whether it asks for client certificates",
            ),
            Self::Broken(_) | Self::Cut => return format!("lost the connection to {endpoint}"),
        };
        format!("{what} {endpoint}: {remedy}")
    }

    /// What the failure means. What another attempt would meet again is fatal.
    pub(in crate::net) fn verdict(&self) -> (ErrorKind, RetryClass) {
        match self {
            Self::UnknownIssuer
            | Self::Forged
            | Self::Expired
            | Self::NotYetValid
            | Self::WrongName { .. }
            | Self::Name(_)
            | Self::Certificate(_)
            | Self::NotTls => (ErrorKind::Config, RetryClass::Fatal),
            Self::Alert(_) | Self::Incompatible(_) => (ErrorKind::Protocol, RetryClass::Fatal),
            Self::Broken(_) | Self::Cut => (ErrorKind::Unreachable, RetryClass::Retry),
        }
    }
}
