//! A browser's WebSocket, message by message.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use http::header::{HOST, HeaderName, HeaderValue};
use osmo_link::MESSAGE_BYTES_MAX;
use osmo_link::pump::Pumped;
use osmo_protocol::router::{DialBack, WsRequest};
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

/// Passes messages on both ways until either side ends or both are quiet.
async fn relay<B, S>(browser: B, server: S, each: &(dyn Fn(Pumped) + Send + Sync))
where
    B: Stream<Item = Result<Message, Error>> + Sink<Message>,
    S: Stream<Item = Result<Message, Error>> + Sink<Message>,
{
    let (mut browser_in, mut browser_out) = split(browser);
    let (mut server_in, mut server_out) = split(server);
    let used = Used { begin: Instant::now(), at_ms: AtomicU64::new(0) };
    let received = |received| each(Pumped { received, sent: 0 });
    let sent = |sent| each(Pumped { sent, received: 0 });
    tokio::select! {
        () = copy(&mut browser_in, &mut server_out, &used, &received) => {}
        () = copy(&mut server_in, &mut browser_out, &used, &sent) => {}
        () = quiet(&used) => {}
    }
    let both = async { tokio::join!(browser_out.close(), server_out.close()) };
    let _ = timeout(Duration::from_secs(2), both).await;
}

/// One way; neither waits for the other, so that two full sides cannot block
/// each other.
async fn copy<I, O>(from: &mut I, to: &mut O, used: &Used, count: &(dyn Fn(u64) + Sync))
where
    I: Stream<Item = Result<Message, Error>> + Unpin,
    O: Sink<Message> + Unpin,
{
    loop {
        let message = from.next().await;
        used.now();
        count(length(&message));
        if !pass(message, to).await {
            return;
        }
        used.now();
    }
}

/// Returns once nothing has moved for so long.
async fn quiet(used: &Used) {
    while used.last().elapsed() < IDLE_LIMIT {
        sleep_until(used.last() + IDLE_LIMIT).await;
    }
}

/// When either way moved last; both are one task, so no order of memory matters.
struct Used {
    begin: Instant,
    at_ms: AtomicU64,
}

impl Used {
    fn now(&self) {
        let elapsed = self.begin.elapsed().as_millis();
        self.at_ms.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Relaxed);
    }

    fn last(&self) -> Instant {
        self.begin + Duration::from_millis(self.at_ms.load(Relaxed))
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

    /// Of 16 KiB each: far more than the pipes and the sockets hold.
    const MESSAGES: usize = 256;

    type End = WebSocketStream<DuplexStream>;

    /// A far end, and ours.
    async fn pair(far: Role, near: Role) -> (End, End) {
        let (one, other) = duplex(4 << 10);
        let far = WebSocketStream::from_raw_socket(one, far, None);
        (far.await, WebSocketStream::from_raw_socket(other, near, None).await)
    }

    /// Says everything before it listens.
    async fn talk(mut end: End) -> End {
        for _ in 0..MESSAGES {
            end.send(Message::binary(vec![7; 16 << 10])).await.unwrap();
        }
        end
    }

    async fn hear(mut end: End) -> (usize, End) {
        let mut bytes = 0;
        while bytes < MESSAGES * (16 << 10) {
            let Some(Ok(message)) = end.next().await else { break };
            bytes += message.len();
        }
        (bytes, end)
    }

    #[tokio::test]
    async fn a_side_that_talks_before_it_listens_is_heard() {
        for browser_talks in [true, false] {
            let (browser, near) = pair(Role::Client, Role::Server).await;
            let (server, far) = pair(Role::Server, Role::Client).await;
            let relaying = tokio::spawn(async move { relay(near, far, &|_| {}).await });
            let (talker, other) = if browser_talks { (browser, server) } else { (server, browser) };
            // Nobody takes the other side's first word until the talk is over.
            let both = async {
                let (mut mouth, mut ears) = other.split();
                let answers = async {
                    for _ in 0..MESSAGES {
                        mouth.send(Message::binary(vec![8; 16 << 10])).await.unwrap();
                    }
                };
                let ears = async {
                    let mut bytes = 0;
                    while bytes < MESSAGES * (16 << 10) {
                        bytes += ears.next().await.unwrap().unwrap().len();
                    }
                    bytes
                };
                let talk = async { hear(talk(talker).await).await };
                let ((), heard, (back, end)) = tokio::join!(answers, ears, talk);
                drop(end);
                (heard, back)
            };
            let all = MESSAGES * (16 << 10);
            assert_eq!(timeout(Duration::from_secs(60), both).await, Ok((all, all)));
            relaying.abort();
        }
    }
}
