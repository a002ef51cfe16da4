//! Where a service is.

use crate::LinkError;

/// Scheme, host, port and what precedes every path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    secure: bool,
    host: String,
    port: u16,
    prefix: String,
}

impl Place {
    /// A place without a prefix; `host` may be an IPv6 address, with or without
    /// brackets.
    pub fn new(secure: bool, host: &str, port: u16) -> Self {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Self { secure, host: host.to_owned(), port, prefix: String::new() }
    }

    /// Reads `wss://host[:port][/prefix]`; `ws`, `http` and `https` as well.
    ///
    /// # Errors
    /// It is no such address.
    pub fn parse(url: &str) -> Result<Self, LinkError> {
        let fault = || LinkError::Address(format!("{url:?} is no address of a service"));
        let uri: http::Uri = url.parse().map_err(|_| fault())?;
        let secure = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(fault()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(fault)?;
        // `Uri` passes over a port that is no number.
        let written = uri.authority().map_or("", |authority| authority.as_str());
        let port = match written.strip_prefix(host).ok_or_else(fault)? {
            "" | ":" if secure => 443,
            "" | ":" => 80,
            port => port[1..].parse().map_err(|_| fault())?,
        };
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { prefix, ..Self::new(secure, host, port) })
    }

    /// TLS or not.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`, as URLs and headers write it.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }

    /// The whole URL of `path`; `family` is `http` or `ws`.
    pub(crate) fn url(&self, family: &str, path: &str) -> String {
        let s = if self.secure { "s" } else { "" };
        format!("{family}{s}://{}{}{path}", self.authority(), self.prefix)
    }
}
