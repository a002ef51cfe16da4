//! Opens the WebSocket, with the token in its header.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use osmo_link::{LinkError, Network, Socket};
use osmo_protocol::logger::logger_path;

use crate::service::Address;

const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Why a dial gave no connection.
#[derive(Debug)]
pub(super) struct Refusal {
    /// For people.
    pub(super) reason: String,
    /// The service does not take the token: a fresh one may help.
    pub(super) of_token: bool,
}

impl Refusal {
    fn of(error: &LinkError) -> Self {
        let of_token = matches!(error, LinkError::Refused { status: 401 | 403, .. });
        let reason = match of_token {
            true => format!("the service does not take the token ({error}); it gets a fresh one"),
            false => format!("the dial failed: {error}"),
        };
        Self { reason, of_token }
    }
}

/// One attempt.
pub(super) async fn dial(
    network: &Network,
    address: &Address,
    header: &str,
    token: &str,
) -> Result<Socket, Refusal> {
    let path = logger_path(&address.workflow, &address.task, address.retry);
    let headers =
        authorization(header, token).map_err(|reason| Refusal { reason, of_token: true })?;
    let dial = network.websocket(&address.place, &path, headers, MESSAGE_BYTES_MAX);
    dial.await.map_err(|error| Refusal::of(&error))
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
