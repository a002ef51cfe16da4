//! Opens the WebSocket, with the token in its header.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use osmo_link::{Network, Socket};
use osmo_protocol::logger::logger_path;

use crate::service::Address;

const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// One attempt; the error is a reason for people.
pub(super) async fn dial(
    network: &Network,
    address: &Address,
    header: &str,
    token: &str,
) -> Result<Socket, String> {
    let path = logger_path(&address.workflow, &address.task, address.retry);
    let headers = authorization(header, token)?;
    network
        .websocket(&address.place, &path, headers, MESSAGE_BYTES_MAX)
        .await
        .map_err(|error| format!("the dial failed: {error}"))
}

/// The header that every dial carries.
pub(crate) fn authorization(header: &str, token: &str) -> Result<HeaderMap, String> {
    let (name, value) = if header.eq_ignore_ascii_case(AUTHORIZATION.as_str()) {
        (AUTHORIZATION, format!("Bearer {token}"))
    } else {
        let name = HeaderName::from_bytes(header.as_bytes());
        (name.map_err(|_| format!("-tokenHeader {header} is no header"))?, token.into())
    };
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| "the service's token does not fit a header".to_owned())?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(name, value)]))
}
