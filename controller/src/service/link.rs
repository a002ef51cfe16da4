//! One WebSocket from the service's side, as two bounded queues.
//!
//! The transport half reads, writes, pings and closes; the session half only
//! sees whole frames. Reading and writing do not wait for each other, so a peer
//! that sends much before it reads cannot block itself. When the session
//! forgets its [`Link`], the connection stays open and silent until the peer
//! leaves: that is the silence of the real service after a frame it could not
//! digest.

use super::config::ServiceConfig;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Frames that a session may be behind, each way.
const QUEUE_FRAMES: usize = 16;
/// How long a peer may take to read a close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A frame from the peer.
#[derive(Debug)]
pub(crate) enum Frame {
    Text(Bytes),
    Binary(Bytes),
}

/// A frame for the peer, or an end.
#[derive(Debug)]
pub(crate) enum Out {
    Text(String),
    Binary(Bytes),
    Close(u16, String),
    /// The end of the TCP connection without a close frame.
    Drop,
}

/// The session's half. `inbound` ends when the peer has left.
pub(crate) struct Link {
    pub(crate) inbound: mpsc::Receiver<Frame>,
    pub(crate) outbound: mpsc::Sender<Out>,
}

/// The transport's ends of a link's queues.
pub(crate) struct Queues {
    to_session: mpsc::Sender<Frame>,
    from_session: mpsc::Receiver<Out>,
}

impl Queues {
    /// Moves the frames of a connection, and ends with it.
    pub(crate) async fn serve(self, io: TokioIo<Upgraded>, config: &ServiceConfig) {
        let limits = WebSocketConfig::default()
            .max_message_size(Some(config.message_bytes_max))
            .max_frame_size(Some(config.message_bytes_max));
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(limits)).await;
        let pulse = Pulse { every: config.ping_every, wait: config.pong_wait, ..Pulse::default() };
        transport(socket, self.to_session, self.from_session, pulse).await;
    }
}

impl Link {
    /// A link to a connection that is about to be.
    pub(crate) fn new() -> (Self, Queues) {
        let (to_session, inbound) = mpsc::channel(QUEUE_FRAMES);
        let (outbound, from_session) = mpsc::channel(QUEUE_FRAMES);
        (Self { inbound, outbound }, Queues { to_session, from_session })
    }

    /// Closes with a reason and forgets the peer.
    pub(crate) async fn close(self, code: u16, reason: impl Into<String>) {
        let _ = self.outbound.send(Out::Close(code, reason.into())).await;
    }

    /// Ends without a close frame.
    pub(crate) async fn drop_peer(self) {
        let _ = self.outbound.send(Out::Drop).await;
    }
}

#[derive(Default)]
struct Pulse {
    every: Duration,
    wait: Duration,
    pong: Notify,
    /// False while the session is behind: a pong cannot be seen then.
    reading: AtomicBool,
}

enum End {
    PeerLeft,
    Drop,
    Close(u16, String),
}

async fn transport(
    socket: Socket,
    to_session: mpsc::Sender<Frame>,
    from_session: mpsc::Receiver<Out>,
    pulse: Pulse,
) {
    let (mut sink, mut stream) = socket.split();
    let end = tokio::select! {
        end = read(&mut stream, to_session, &pulse) => end,
        end = write(&mut sink, from_session, &pulse) => end,
    };
    if let (End::Close(code, reason), Ok(socket)) = (end, stream.reunite(sink)) {
        let _ = timeout(CLOSE_WAIT, close(socket, code, reason)).await;
    }
}

async fn read(
    stream: &mut SplitStream<Socket>,
    to_session: mpsc::Sender<Frame>,
    pulse: &Pulse,
) -> End {
    let mut to_session = Some(to_session);
    loop {
        pulse.reading.store(false, Ordering::Relaxed);
        let room = match &to_session {
            Some(session) => session.reserve().await.ok(),
            None => None,
        };
        pulse.reading.store(true, Ordering::Relaxed);
        let frame = match stream.next().await {
            Some(Ok(Message::Text(text))) => Frame::Text(text.into()),
            Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes),
            Some(Ok(Message::Pong(_))) => {
                pulse.pong.notify_one();
                continue;
            }
            Some(Ok(Message::Close(_))) => {
                drop(room);
                to_session = None;
                continue;
            }
            Some(Ok(_)) => continue,
            Some(Err(Error::Capacity(_))) => return End::Close(1009, String::new()),
            Some(Err(Error::Utf8(_))) => return End::Close(1007, String::new()),
            Some(Err(Error::Protocol(_))) => return End::Close(1002, String::new()),
            Some(Err(_)) | None => return End::PeerLeft,
        };
        if let Some(room) = room {
            room.send(frame);
        }
    }
}

async fn write(
    sink: &mut SplitSink<Socket, Message>,
    mut from_session: mpsc::Receiver<Out>,
    pulse: &Pulse,
) -> End {
    let mut session_lives = true;
    let mut pinged: Option<Instant> = None;
    let mut beat = Instant::now() + pulse.every;
    loop {
        let message = tokio::select! {
            out = from_session.recv(), if session_lives => match out {
                Some(Out::Text(text)) => Message::text(text),
                Some(Out::Binary(bytes)) => Message::Binary(bytes),
                Some(Out::Close(code, reason)) => return End::Close(code, reason),
                Some(Out::Drop) => return End::Drop,
                None => {
                    session_lives = false;
                    continue;
                }
            },
            () = sleep_until(beat) => match pinged.take() {
                None => {
                    pinged = Some(beat);
                    beat += pulse.wait;
                    Message::Ping(Bytes::from_static(b"osmo"))
                }
                Some(_) if pulse.reading.load(Ordering::Relaxed) => {
                    return End::Close(1011, "keepalive ping timeout".to_owned());
                }
                Some(at) => {
                    beat = Instant::now().max(at + pulse.every);
                    continue;
                }
            },
            () = pulse.pong.notified() => {
                if let Some(at) = pinged.take() {
                    beat = Instant::now().max(at + pulse.every);
                }
                continue;
            }
        };
        match timeout(pulse.every + pulse.wait, sink.send(message)).await {
            Ok(Ok(())) => {}
            // The reading half tells why, once it has seen what came before.
            Ok(Err(_)) => std::future::pending().await,
            // A peer that reads nothing cannot read a close frame either.
            Err(_) => return End::Drop,
        }
    }
}

/// Sends the close frame and reads on until the peer has left, lest unread
/// bytes make the system reset the connection before the frame arrives.
async fn close(mut socket: Socket, code: u16, reason: String) {
    let frame = CloseFrame { code: code.into(), reason: reason.into() };
    if socket.send(Message::Close(Some(frame))).await.is_err() {
        return;
    }
    while let Some(Ok(_)) = socket.next().await {}
    let mut io = socket.into_inner();
    let mut rest = [0; 4096];
    while matches!(io.read(&mut rest).await, Ok(read) if read > 0) {}
}
