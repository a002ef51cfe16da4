//! WebSockets to the service.

use http::HeaderMap;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::{LinkError, Network, Place, Stream};

/// Bytes of a message, either way: what the service takes.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
const BUFFER_BYTES: usize = 16 << 10;
const WRITE_BUFFER_BYTES_MAX: usize = 2 << 20;

/// An open WebSocket.
pub type Socket = WebSocketStream<Stream>;

impl Network {
    /// Dials `path` (with its query) at `place`. `message_bytes_max` bounds what
    /// the peer may make us hold. Takes as long as the peer does: callers limit
    /// it.
    ///
    /// # Errors
    /// As [`Network::stream`], or the service did not switch protocols.
    pub async fn websocket(
        &self,
        place: &Place,
        path: &str,
        headers: HeaderMap,
        message_bytes_max: usize,
    ) -> Result<Socket, LinkError> {
        let fault = |error: Error| LinkError::Address(error.to_string());
        let mut request = place.url("ws", path).into_client_request().map_err(fault)?;
        request.headers_mut().extend(headers);
        request.headers_mut().extend(self.headers.clone());
        let stream = self.stream(place).await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES)
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX + message_bytes_max)
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(answer)) => Err(LinkError::Refused {
                place: place.authority(),
                status: answer.status().as_u16(),
                body: answer.body().as_deref().map(excerpt).unwrap_or_default(),
            }),
            Err(error) => Err(LinkError::Broken(error.to_string())),
        }
    }
}

/// The begin of an answer, for people.
pub(crate) fn excerpt(body: &[u8]) -> String {
    const EXCERPT_BYTES: usize = 200;
    String::from_utf8_lossy(&body[..body.len().min(EXCERPT_BYTES)]).trim().to_owned()
}
