//! Opens the WebSocket, with the token in its header.

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use osmo_protocol::logger::logger_path;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::service::Address;

const BUFFER_BYTES: usize = 16 << 10;
const MESSAGE_BYTES_MAX: usize = 1 << 20;
const WRITE_BUFFER_BYTES_MAX: usize = 2 << 20;

/// An open connection.
pub(super) type Socket = WebSocketStream<TcpStream>;

/// One attempt; the error is a reason for people.
pub(super) async fn dial(address: &Address, header: &str, token: &str) -> Result<Socket, String> {
    let place = address.authority();
    let path = logger_path(&address.workflow, &address.task, address.retry);
    let failed = |error: Error| format!("the dial to {place} failed: {error}");
    let mut request = format!("ws://{place}{path}").into_client_request().map_err(failed)?;
    let (name, value) = if header.eq_ignore_ascii_case(AUTHORIZATION.as_str()) {
        (AUTHORIZATION, format!("Bearer {token}"))
    } else {
        let name = HeaderName::from_bytes(header.as_bytes());
        (name.map_err(|_| format!("-tokenHeader {} is no header", header))?, token.into())
    };
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| "the service's token does not fit a header".to_owned())?;
    value.set_sensitive(true);
    request.headers_mut().insert(name, value);
    let stream = TcpStream::connect((address.host.as_str(), address.port))
        .await
        .map_err(|error| format!("the dial to {place} failed: {error}"))?;
    let _ = stream.set_nodelay(true);
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    tokio_tungstenite::client_async_with_config(request, stream, Some(config))
        .await
        .map(|(socket, _)| socket)
        .map_err(failed)
}
