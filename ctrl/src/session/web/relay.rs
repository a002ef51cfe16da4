//! A browser's WebSocket, message by message.

use std::time::Duration;

use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use http::header::{HOST, HeaderName, HeaderValue};
use osmo_link::MESSAGE_BYTES_MAX;
use osmo_link::pump::Pumped;
use osmo_protocol::router::{DialBack, WsRequest};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::session::Shared;
use crate::session::dial::hang_up;
use crate::session::tcp::{Dialling, Port};

const OPEN_LIMIT: Duration = Duration::from_secs(30);
/// No end of a browser is passed on: a pair that is quiet for so long both ways
/// is taken for left.
const IDLE_LIMIT: Duration = Duration::from_secs(900);
const PROTOCOL: &str = "sec-websocket-protocol";

/// Relays until either side closes or both are quiet.
pub(super) async fn serve(
    shared: &Shared,
    port: &Port,
    dial: &DialBack,
    place: Dialling,
    request: &WsRequest,
) -> Result<(), String> {
    let opened = timeout(OPEN_LIMIT, open(shared, port, request));
    let (socket, server) = tokio::join!(port.dial(shared, dial, place), opened);
    let socket = socket?;
    match server.unwrap_or_else(|_| Err("its WebSocket does not open".to_owned())) {
        Ok(server) => {
            let (mut browser_in, mut browser_out) = split(socket);
            let (mut server_in, mut server_out) = split(server);
            loop {
                let next = async {
                    tokio::select! {
                        message = browser_in.next() => {
                            let pumped = Pumped { received: length(&message), sent: 0 };
                            port.count(shared, pumped);
                            pass(message, &mut server_out).await
                        }
                        message = server_in.next() => {
                            port.count(shared, Pumped { sent: length(&message), received: 0 });
                            pass(message, &mut browser_out).await
                        }
                    }
                };
                if timeout(IDLE_LIMIT, next).await != Ok(true) {
                    break;
                }
            }
            let both = async { tokio::join!(browser_out.close(), server_out.close()) };
            let _ = timeout(Duration::from_secs(2), both).await;
            Ok(())
        }
        Err(reason) => {
            hang_up(socket).await;
            Err(reason)
        }
    }
}

type Halves<S> =
    (futures_util::stream::SplitStream<S>, futures_util::stream::SplitSink<S, Message>);

fn split<S>(socket: S) -> Halves<S>
where
    S: Stream + Sink<Message>,
{
    let (sink, stream) = socket.split();
    (stream, sink)
}

fn length(message: &Option<Result<Message, Error>>) -> u64 {
    match message {
        Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => message.len() as u64,
        _ => 0,
    }
}

/// Passes a message on; false at the end.
async fn pass<S>(message: Option<Result<Message, Error>>, to: &mut S) -> bool
where
    S: Sink<Message> + Unpin,
{
    match message {
        Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
            to.send(message).await.is_ok()
        }
        Some(Ok(Message::Close(_)) | Err(_)) | None => false,
        Some(Ok(_)) => true,
    }
}

/// Opens the task's WebSocket. A server that speaks none of the browser's
/// sub-protocols is asked again without them, as the router tells the browser of
/// none.
async fn open(
    shared: &Shared,
    port: &Port,
    request: &WsRequest,
) -> Result<WebSocketStream<TcpStream>, String> {
    let mut with_protocol = true;
    loop {
        let stream = port.connect(shared).await?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let asked = client_request(port.number, request, with_protocol)?;
        match tokio_tungstenite::client_async_with_config(asked, stream, Some(config)).await {
            Ok((socket, _)) => return Ok(socket),
            Err(Error::Protocol(_)) if with_protocol => with_protocol = false,
            Err(error) => return Err(format!("its WebSocket does not open: {error}")),
        }
    }
}

fn client_request(
    port: u16,
    request: &WsRequest,
    with_protocol: bool,
) -> Result<http::Request<()>, String> {
    let url = format!("ws://127.0.0.1:{port}{}", request.path);
    let mut asked = url.into_client_request().map_err(|error| error.to_string())?;
    for (name, value) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) else { continue };
        let is_ours = name.as_str().starts_with("sec-websocket-")
            && !(with_protocol && name.as_str() == PROTOCOL);
        if name == HOST || !is_ours {
            asked.headers_mut().insert(name, value);
        }
    }
    Ok(asked)
}
