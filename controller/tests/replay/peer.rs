//! A WebSocket peer that can misbehave, and a plain HTTP call.

use futures_util::{SinkExt as _, StreamExt as _};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

type Socket = WebSocketStream<TcpStream>;

#[derive(Debug)]
pub(crate) enum Got {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping,
    Close(u16, String),
    /// The stream ended without a close frame.
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    Pings,
    /// It only listens.
    Nothing,
}

pub(crate) enum Dialled {
    Open(Peer),
    Refused(u16),
}

pub(crate) struct Peer {
    out: mpsc::UnboundedSender<Order>,
    got: mpsc::UnboundedReceiver<Got>,
}

enum Order {
    Send(Message),
    Abort,
}

pub(crate) async fn dial(
    address: SocketAddr,
    path: &str,
    token: &str,
    cookie: Option<&str>,
    answers: Answers,
) -> Dialled {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("Authorization", format!("Bearer {token}").parse().unwrap());
    if let Some(cookie) = cookie {
        headers.insert("Cookie", cookie.parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    let limits = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let dialled = tokio_tungstenite::client_async_with_config(request, stream, Some(limits)).await;
    match dialled {
        Ok((socket, _)) => Dialled::Open(Peer::new(socket, answers)),
        Err(Error::Http(response)) => Dialled::Refused(response.status().as_u16()),
        Err(other) => panic!("cannot dial {path}: {other}"),
    }
}

impl Peer {
    fn new(socket: Socket, answers: Answers) -> Self {
        let (out, orders) = mpsc::unbounded_channel();
        let (tell, got) = mpsc::unbounded_channel();
        match answers {
            Answers::Pings => drop(tokio::spawn(live(socket, orders, tell))),
            Answers::Nothing => drop(tokio::spawn(listen(socket.into_inner(), tell))),
        }
        Self { out, got }
    }

    /// The next frame; pings are passed over unless they are asked for.
    pub(crate) async fn next(&mut self, wants_ping: bool) -> Got {
        loop {
            match self.got.recv().await {
                Some(Got::Ping) if !wants_ping => {}
                Some(got) => return got,
                None => std::future::pending().await,
            }
        }
    }

    pub(crate) fn send_text(&self, bytes: Vec<u8>) {
        match String::from_utf8(bytes) {
            Ok(text) => self.order(Order::Send(Message::text(text))),
            Err(bad) => {
                let data = OpCode::Data(Data::Text);
                let frame = Frame::message(bad.into_bytes(), data, true);
                self.order(Order::Send(Message::Frame(frame)));
            }
        }
    }

    pub(crate) fn send_in_three(&self, bytes: &[u8]) {
        let third = bytes.len() / 3;
        let parts = [&bytes[..third], &bytes[third..2 * third], &bytes[2 * third..]];
        for (number, part) in parts.into_iter().enumerate() {
            let data = if number == 0 { Data::Text } else { Data::Continue };
            let frame = Frame::message(part.to_vec(), OpCode::Data(data), number == 2);
            self.order(Order::Send(Message::Frame(frame)));
        }
    }

    pub(crate) fn send_binary(&self, bytes: Vec<u8>) {
        self.order(Order::Send(Message::binary(bytes)));
    }

    pub(crate) fn close(&self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        self.order(Order::Send(Message::Close(Some(frame))));
    }

    pub(crate) fn abort(&self) {
        self.order(Order::Abort);
    }

    fn order(&self, order: Order) {
        let _ = self.out.send(order);
    }
}

/// Sends what is ordered and tells what comes, until either end leaves.
async fn live(
    mut socket: Socket,
    mut orders: mpsc::UnboundedReceiver<Order>,
    tell: mpsc::UnboundedSender<Got>,
) {
    let mut closed = false;
    loop {
        let frame = tokio::select! {
            order = orders.recv() => {
                match order {
                    Some(Order::Send(message)) => drop(socket.send(message).await),
                    Some(Order::Abort) => return socket.get_ref().set_zero_linger().unwrap(),
                    None => return,
                }
                continue;
            }
            frame = socket.next() => frame,
        };
        let got = match frame {
            Some(Ok(Message::Text(text))) => Got::Text(text.as_bytes().to_vec()),
            Some(Ok(Message::Binary(bytes))) => Got::Binary(bytes.to_vec()),
            Some(Ok(Message::Ping(_))) => Got::Ping,
            Some(Ok(Message::Close(frame))) => {
                closed = true;
                let frame = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                let (code, reason) = frame.unwrap_or((1005, String::new()));
                Got::Close(code, reason)
            }
            Some(Ok(_)) => continue,
            Some(Err(_)) | None => {
                if !closed {
                    let _ = tell.send(Got::End);
                }
                return;
            }
        };
        let _ = tell.send(got);
    }
}

/// Reads the service's short frames and never writes.
async fn listen(mut stream: TcpStream, tell: mpsc::UnboundedSender<Got>) {
    let mut head = [0; 2];
    while stream.read_exact(&mut head).await.is_ok() {
        let mut payload = vec![0; usize::from(head[1])];
        if stream.read_exact(&mut payload).await.is_err() {
            return;
        }
        let got = match head[0] & 0x0f {
            0x8 => {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                Got::Close(code, String::from_utf8(payload[2..].to_vec()).unwrap())
            }
            0x9 => Got::Ping,
            0x1 => Got::Text(payload),
            _ => Got::Binary(payload),
        };
        let _ = tell.send(got);
    }
}

/// A browser's dial: by hand, because it asks for sub-protocols and gets none.
pub(crate) async fn dial_as_browser(
    address: SocketAddr,
    path: &str,
    headers: &[(String, String)],
) -> Peer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head = format!(
        "GET {path} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    // The answer for that key in RFC 6455, section 1.3.
    assert!(answer.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
    assert!(!answer.contains("sec-websocket-protocol"), "{answer}");
    let role = tokio_tungstenite::tungstenite::protocol::Role::Client;
    Peer::new(WebSocketStream::from_raw_socket(stream, role, None).await, Answers::Pings)
}

pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

/// One call on one connection.
pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: &[u8],
) -> Response {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    raw(address, &head, body, method == "HEAD").await.expect("a response")
}

/// Sends a request as it stands and reads the response; `None` when the
/// connection ends without one.
pub(crate) async fn raw(
    address: SocketAddr,
    head: &str,
    body: &[u8],
    bodiless: bool,
) -> Option<Response> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => response.push(byte),
            Err(_) => return None,
        }
    }
    let head = String::from_utf8(response).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let find = |wanted: &str| {
        headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    let mut body = Vec::new();
    if bodiless || matches!(status, 204 | 304) {
    } else if let Some(length) = find("content-length") {
        let length: u64 = length.parse().unwrap();
        (&mut stream).take(length).read_to_end(&mut body).await.unwrap();
    } else if find("transfer-encoding").is_some() {
        read_chunks(&mut stream, &mut body).await;
    }
    Some(Response { status, content_type: find("content-type").unwrap_or_default(), headers, body })
}

async fn read_chunks(stream: &mut TcpStream, body: &mut Vec<u8>) {
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.unwrap());
        }
        let size = std::str::from_utf8(&line).unwrap().trim();
        let size = usize::from_str_radix(size, 16).unwrap();
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk).await.unwrap();
        body.extend_from_slice(&chunk[..size]);
        if size == 0 {
            return;
        }
    }
}
