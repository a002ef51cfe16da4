//! A proxy's URL, as a variable holds it.

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::Proxy;

/// A proxy variable that cannot be used. The value is not repeated: it may
/// hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{variable} {fault}: set it to http://host:port or http://user:password@host:port, or add the \
     endpoint's host to NO_PROXY"
)]
pub struct ProxySetting {
    variable: &'static str,
    fault: &'static str,
}

/// Reads a proxy's URL; without a scheme it is http, without a port 80.
pub(super) fn parse(variable: &'static str, value: &str) -> Result<Proxy, ProxySetting> {
    let refused = |fault| ProxySetting { variable, fault };
    let whole = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let url = Url::parse(&whole).map_err(|_| refused("is not the URL of a proxy"))?;
    match url.scheme() {
        "http" => {}
        "https" => return Err(refused("names a proxy behind TLS, which is not supported")),
        scheme if scheme.starts_with("socks") => {
            return Err(refused("names a SOCKS proxy, which is not supported"));
        }
        _ => return Err(refused("is not the URL of an HTTP proxy")),
    }
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => return Err(refused("names no host")),
    };
    let decoded = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(|text| text.into_owned())
            .map_err(|_| refused("has a user name or password that is not UTF-8"))
    };
    let (name, password) = (decoded(url.username())?, decoded(url.password().unwrap_or_default())?);
    if name.contains(':') {
        // RFC 7617: the first colon ends the name.
        return Err(refused("has a user name with a colon, which cannot be sent"));
    }
    let user = !name.is_empty() || !password.is_empty();
    let user = user.then_some((name.as_str(), password.as_str()));
    Ok(Proxy::new(&host, url.port_or_known_default().unwrap_or(80), user))
}
