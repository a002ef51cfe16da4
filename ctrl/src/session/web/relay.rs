//! A browser's WebSocket, message by message.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use http::header::{HOST, HeaderName, HeaderValue};
use osmo_link::MESSAGE_BYTES_MAX;
use osmo_link::pump::Pumped;
use osmo_protocol::router::{DialBack, WsRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
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
            relay(socket, server, &|pumped| port.count(shared, pumped)).await;
            Ok(())
        }
        Err(reason) => {
            hang_up(socket).await;
            Err(reason)
        }
    }
}

/// Relays until either side closes or both are quiet. Neither direction waits for
/// the other: two full sides would block each other for good.
async fn relay<B, S>(
    browser: WebSocketStream<B>,
    server: WebSocketStream<S>,
    count: &(impl Fn(Pumped) + Sync),
) where
    B: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut browser_out, mut browser_in) = browser.split();
    let (mut server_out, mut server_in) = server.split();
    let used = Used(Mutex::new(Instant::now()));
    tokio::select! {
        () = copy(&mut browser_in, &mut server_out, &used, |received| {
            count(Pumped { received, sent: 0 });
        }) => {}
        () = copy(&mut server_in, &mut browser_out, &used, |sent| {
            count(Pumped { sent, received: 0 });
        }) => {}
        () = used.idle() => {}
    }
    let both = async { tokio::join!(browser_out.close(), server_out.close()) };
    let _ = timeout(Duration::from_secs(2), both).await;
}

/// When something came last, from either side.
struct Used(Mutex<Instant>);

impl Used {
    fn at(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Ends once nothing has come for too long.
    async fn idle(&self) {
        while self.at().elapsed() < IDLE_LIMIT {
            sleep_until(self.at() + IDLE_LIMIT).await;
        }
    }
}

/// Passes messages on until either side ends.
async fn copy<R, W>(from: &mut R, to: &mut W, used: &Used, count: impl Fn(u64))
where
    R: Stream<Item = Result<Message, Error>> + Unpin,
    W: Sink<Message> + Unpin,
{
    while let Some(Ok(message)) = from.next().await {
        used.now();
        match message {
            Message::Text(_) | Message::Binary(_) => {
                count(message.len() as u64);
                if to.send(message).await.is_err() {
                    return;
                }
                used.now();
            }
            Message::Close(_) => return,
            _ => {}
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::{DuplexStream, duplex};
    use tokio::time::timeout;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::relay;

    async fn pair() -> [WebSocketStream<DuplexStream>; 2] {
        let (near, far) = duplex(1024);
        [
            WebSocketStream::from_raw_socket(near, Role::Client, None).await,
            WebSocketStream::from_raw_socket(far, Role::Server, None).await,
        ]
    }

    /// A server that reads nothing before all of its own is taken, which is far
    /// more than fits on the way, and a browser that speaks and listens.
    #[tokio::test]
    async fn a_server_that_speaks_first_blocks_nobody() {
        const COUNT: usize = 40;
        let ([browser, inner], [mut server, outer]) = (pair().await, pair().await);
        let relaying = tokio::spawn(async move { relay(inner, outer, &|_| ()).await });
        let message = Message::binary(vec![7; 64 << 10]);
        let (mut browser_out, mut browser_in) = browser.split();
        let browser_speaks = async {
            for _ in 0..COUNT {
                browser_out.send(message.clone()).await.unwrap();
            }
        };
        let browser_listens = async {
            for _ in 0..COUNT {
                assert_eq!(browser_in.next().await.unwrap().unwrap(), message);
            }
        };
        let server_works = async {
            for _ in 0..COUNT {
                server.send(message.clone()).await.unwrap();
            }
            for _ in 0..COUNT {
                assert_eq!(server.next().await.unwrap().unwrap(), message);
            }
        };
        let all = async { tokio::join!(browser_speaks, browser_listens, server_works) };
        timeout(Duration::from_secs(60), all).await.expect("the relay stands still");
        browser_out.close().await.unwrap();
        relaying.await.unwrap();
    }
}
