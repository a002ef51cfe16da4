//! Whom requests go to, and how a bucket and key become host and target.

use std::sync::OnceLock;

use url::{Host, Url};

use super::{aws, encode};
use crate::access::Addressing;
use crate::error::{Error, ErrorKind, Result};
use crate::net::Wire;
use crate::uri::{Scheme, Uri};

/// Scheme, host, port, region and addressing of one bucket's store; shared by
/// shards and the SDK. It changes once at most: to the region that the store
/// says the bucket is in ([`Endpoint::follow`]), which all of them then see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    store: String,
    moved: OnceLock<Box<Endpoint>>,
    /// As a `Host` field has it: brackets around IPv6.
    host: String,
    named: bool,
    port: u16,
    wire: Wire,
    region: String,
    addressing: Addressing,
}

/// Where one request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name or address to connect to.
    pub host: String,
    /// The `Host` field: with the port, unless it is the scheme's own.
    pub authority: String,
    /// The request target, percent-encoded.
    pub path: String,
}

impl Endpoint {
    /// An endpoint for object bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for what is no `http[s]://host[:port]` URL.
    pub fn new(url: &str, region: &str, addressing: Addressing) -> Result<Self> {
        let parsed = check(url)?;
        let wire = if parsed.scheme() == "https" { Wire::Tls } else { Wire::Plain };
        let (host, named) = match parsed.host() {
            Some(Host::Domain(name)) => (name.to_owned(), true),
            Some(address) => (address.to_string(), false),
            None => return Err(malformed(url)),
        };
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            store: format!("{}://", Scheme::S3.name()),
            moved: OnceLock::new(),
            host,
            named,
            port: parsed.port().unwrap_or(default_port(wire)),
            wire,
            region: region.to_owned(),
            addressing,
        })
    }

    /// The same, for messages that name its objects as `uri` names its own.
    #[must_use]
    pub fn of(mut self, uri: &Uri) -> Self {
        self.store = uri.store();
        self
    }

    /// What stands before the bucket in the URIs of its objects.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// Where the bucket is known to be. A request takes host, port and region
    /// from one look at it.
    pub fn here(&self) -> &Self {
        self.moved.get().map_or(self, |moved| moved)
    }

    /// The store says that the bucket is in `region`, to a request that was
    /// signed for `signed_for`. Answers whether another request can do better:
    /// the first move is followed, for everybody, and a second one is not.
    ///
    /// The host is never taken from an answer. It stays, or is AWS's own host
    /// of that region where the endpoint is AWS.
    pub fn follow(&self, signed_for: &str, region: &str) -> bool {
        if region == signed_for || !aws::is_region(region) {
            return false;
        }
        if self.here().region == region {
            return true;
        }
        let url = aws::elsewhere(&self.host, region).unwrap_or_else(|| self.url.clone());
        let Ok(moved) = Self::new(&url, region, self.addressing) else { return false };
        self.moved.set(Box::new(moved)).is_ok() || self.here().region == region
    }

    /// Whether the bucket was somewhere else at first.
    pub(super) fn has_moved(&self) -> bool {
        self.moved.get().is_some()
    }

    /// The URL, for messages.
    pub fn url(&self) -> &str {
        &self.here().url
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.here().port
    }

    /// Whether bytes go over TLS.
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// The region that requests are signed for.
    pub fn region(&self) -> &str {
        &self.here().region
    }

    /// Whether `bucket` stands in the host name. One that cannot be part of
    /// one is addressed by path whatever was asked for; so is one at an IP
    /// address, and over TLS one with dots, for which no certificate stands:
    /// a wildcard is one label.
    pub(super) fn by_host(&self, bucket: &str) -> bool {
        self.addressing == Addressing::Virtual
            && self.named
            && is_host_part(bucket)
            && !(bucket.contains('.') && self.wire == Wire::Tls)
    }

    /// Where `key` of `bucket` is.
    pub fn target(&self, bucket: &str, key: &str) -> Target {
        if let Some(moved) = self.moved.get() {
            return moved.target(bucket, key);
        }
        let (host, path) = if self.by_host(bucket) {
            (format!("{bucket}.{}", self.host), format!("/{}", encode::path(key)))
        } else {
            (self.host.clone(), format!("/{}/{}", encode::path(bucket), encode::path(key)))
        };
        let authority = if self.port == default_port(self.wire) {
            host.clone()
        } else {
            format!("{host}:{}", self.port)
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Target { host, authority, path }
    }
}

/// Parses and checks an endpoint's URL, http or https.
pub(super) fn check(url: &str) -> Result<Url> {
    let parsed = Url::parse(url).map_err(|_| malformed(url))?;
    let plain = matches!(parsed.scheme(), "http" | "https")
        && parsed.has_host()
        && parsed.path() == "/"
        && parsed.query().is_none()
        && parsed.fragment().is_none()
        && parsed.username().is_empty()
        && parsed.password().is_none();
    if plain { Ok(parsed) } else { Err(malformed(url)) }
}

/// A URL may hold a password, so a malformed one is not repeated beyond its
/// host's end.
fn malformed(url: &str) -> Error {
    let shown = if url.contains('@') { "(not shown: it holds credentials)" } else { url };
    Error::new(
        ErrorKind::Config,
        format!(
            "the endpoint URL {shown} is not of the form https://host:port or http://host:port \
             (no path, no query, no user): correct --endpoint-url, override_url or AWS_ENDPOINT_URL"
        ),
    )
}

fn default_port(wire: Wire) -> u16 {
    match wire {
        Wire::Plain => 80,
        Wire::Tls => 443,
    }
}

/// The bucket names that S3 allows in a host name.
fn is_host_part(bucket: &str) -> bool {
    let alnum = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (3..=63).contains(&bucket.len())
        && alnum(bucket.bytes().next())
        && alnum(bucket.bytes().last())
        && !bucket.contains("..")
        && bucket
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
}
