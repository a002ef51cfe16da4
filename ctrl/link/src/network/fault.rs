//! The engine's faults as sentences about a service: cause, then remedy.

use std::error::Error;
use std::fmt::Write as _;

use osmo_engine::net::NetError;
use osmo_engine::net::tls::TlsFault;

/// Why there is no connection, and what helps.
pub(super) fn reason(error: &NetError) -> String {
    let cause = chain(error);
    match remedy(error) {
        Some(remedy) => format!("{cause}: {remedy}"),
        None => cause,
    }
}

/// An error and what is below it, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let _ = write!(text, ": {source}");
        next = source.source();
    }
    text
}

fn remedy(error: &NetError) -> Option<&'static str> {
    match error {
        NetError::Connect { .. } => Some("check that the service runs and its host and port"),
        NetError::Tls(fault) => of_tls(fault),
        NetError::Silent { .. } | NetError::Broken(_) | NetError::Unanswered => {
            Some("check the network and the proxies between here and there")
        }
        // These bring their remedies along, or have none.
        NetError::Name(_)
        | NetError::Proxy { .. }
        | NetError::ProxyRefusal(_)
        | NetError::ProxySetting(_)
        | NetError::Refused(_)
        | NetError::Head(_)
        | NetError::Body(_) => None,
    }
}

fn of_tls(fault: &TlsFault) -> Option<&'static str> {
    match fault {
        TlsFault::UnknownIssuer | TlsFault::Forged => Some(
            "give its CA's certificate (PEM) as the CA file or in SSL_CERT_FILE, or, where the \
             service has no proper certificate, switch its verification off",
        ),
        TlsFault::Expired | TlsFault::NotYetValid => {
            Some("renew the service's certificate, or set this machine's clock")
        }
        TlsFault::WrongName { .. } | TlsFault::Name(_) => {
            Some("use the host that the certificate names")
        }
        TlsFault::NotTls => {
            Some("use the service's TLS port, or ws and http instead of wss, https")
        }
        TlsFault::Certificate(_) => Some("have the service's certificate replaced"),
        TlsFault::Alert(_) | TlsFault::Incompatible(_) => {
            Some("check the service's TLS versions, and whether it asks for client certificates")
        }
        TlsFault::Broken(_) | TlsFault::Cut => None,
    }
}
