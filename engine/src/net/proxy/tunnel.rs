//! CONNECT (RFC 9110, section 9.3.6) without I/O.

use std::fmt;

use super::{Proxy, authority};

/// An answer to CONNECT has at most this many bytes up to the end of its head.
pub const ANSWER_BYTES_MAX: usize = 8 << 10;
const FIELDS_MAX: usize = 64;

/// What a proxy said instead of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRefusal {
    /// The proxy, without its credentials.
    pub proxy: String,
    /// Whom it was asked for.
    pub target: String,
    /// The answer's status; `None` when it was no HTTP.
    pub status: Option<u16>,
    /// Whether we had shown credentials.
    pub authorized: bool,
}

impl ProxyRefusal {
    /// What `proxy` answered when it was asked for `target`.
    pub fn new(proxy: &Proxy, target: impl Into<String>, status: Option<u16>) -> Self {
        let authorized = proxy.authorization.is_some();
        Self { proxy: proxy.to_string(), target: target.into(), status, authorized }
    }
}

impl fmt::Display for ProxyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proxy, target, .. } = self;
        match (self.status, self.authorized) {
            (Some(status @ (401 | 407)), true) => write!(
                f,
                "the proxy {proxy} refuses the user name and password it was given ({status}): correct \
                 them in the proxy variable"
            ),
            (Some(status @ (401 | 407)), false) => write!(
                f,
                "the proxy {proxy} wants a user name and password ({status}): set the proxy variable to \
                 http://user:password@host:port"
            ),
            (Some(403), _) => write!(
                f,
                "the proxy {proxy} does not allow connections to {target} (403): have it allowed, \
                 or add the host to NO_PROXY if it can be reached directly"
            ),
            (Some(status @ 500..), _) => write!(
                f,
                "the proxy {proxy} cannot reach {target} ({status}): check the endpoint's name and \
                 the proxy's own network"
            ),
            (Some(status), _) => write!(
                f,
                "the proxy {proxy} answered the request for {target} with {status}: check that the \
                 proxy variable names an HTTP proxy that allows CONNECT"
            ),
            (None, _) => write!(
                f,
                "the proxy {proxy} does not answer as an HTTP proxy does: check the host and port \
                 in the proxy variable"
            ),
        }
    }
}

impl std::error::Error for ProxyRefusal {}

/// The request for a tunnel to `host:port`.
pub fn request(proxy: &Proxy, host: &str, port: u16) -> String {
    let target = authority(host, port);
    let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(authorization) = &proxy.authorization {
        head.push_str("Proxy-Authorization: ");
        head.push_str(authorization.reveal());
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head
}

/// Reads what has arrived of the answer: `None` when more is needed.
///
/// # Errors
/// The status, if it was HTTP at all. Bytes behind a success are an error
/// too: in a tunnel the client speaks first.
pub fn answer(bytes: &[u8]) -> Option<Result<(), Option<u16>>> {
    let mut skipped = 0;
    loop {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut head = httparse::Response::new(&mut fields);
        let taken = match head.parse(&bytes[skipped..]) {
            Ok(httparse::Status::Complete(taken)) => skipped + taken,
            Ok(httparse::Status::Partial) if bytes.len() < ANSWER_BYTES_MAX => return None,
            Ok(httparse::Status::Partial) | Err(_) => return Some(Err(None)),
        };
        match head.code {
            Some(101) | None => return Some(Err(None)),
            Some(100..200) => skipped = taken,
            Some(200..300) if taken == bytes.len() => return Some(Ok(())),
            Some(200..300) => return Some(Err(None)),
            Some(status) => return Some(Err(Some(status))),
        }
    }
}
