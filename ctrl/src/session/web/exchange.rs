//! One request of a browser.

use std::time::Duration;

use futures_util::stream::SplitStream;
use futures_util::{SinkExt as _, StreamExt as _};
use osmo_link::Socket;
use osmo_link::pump::{CHUNK_BYTES_MAX, Pumped};
use osmo_protocol::router::DialBack;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::request;
use super::response::{Fault, Response};
use crate::session::Shared;
use crate::session::dial::hang_up;
use crate::session::tcp::{Dialling, Port};

/// How long the router may take to send the request.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);
/// How long the task's server may be silent: the router has given up long before.
const SERVER_LIMIT: Duration = Duration::from_secs(900);
/// How long the router may take to close the pair after the answer.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Asks the task's server and answers, with an error page where it cannot.
pub(super) async fn serve(
    shared: &Shared,
    port: &Port,
    dial: &DialBack,
    place: Dialling,
) -> Result<(), String> {
    let (socket, server) = tokio::join!(port.dial(shared, dial, place), port.connect(shared));
    let mut socket = socket?;
    let server = match server {
        Ok(server) => server,
        Err(reason) => {
            let _ = socket.send(Message::binary(error_page(&reason))).await;
            goodbye(socket).await;
            return Err(reason);
        }
    };
    let Ok(Some(first)) = timeout(REQUEST_LIMIT, binary(&mut socket)).await else {
        hang_up(socket).await;
        return Ok(());
    };
    port.count(shared, Pumped { received: first.len() as u64, sent: 0 });
    let (mut sink, stream) = socket.split();
    let (mut reader, mut writer) = server.into_split();
    let mut response = Response::new(request::is_head(&first));
    let forward = async {
        let _ = writer.write_all(&request::rewrite(&first)).await;
        more_of_request(stream, writer, |received| {
            port.count(shared, Pumped { received, sent: 0 });
        })
        .await
    };
    let answer = async {
        let mut buffer = vec![0; CHUNK_BYTES_MAX / 2];
        while !response.is_done() {
            let read = timeout(SERVER_LIMIT, reader.read(&mut buffer)).await;
            let out = match read.map_err(|_| Fault("the server is silent"))? {
                Ok(0) | Err(_) => response.end()?,
                Ok(count) => response.push(&buffer[..count])?,
            };
            port.count(shared, Pumped { sent: out.len() as u64, received: 0 });
            if !out.is_empty() && sink.send(Message::binary(out)).await.is_err() {
                break;
            }
        }
        Ok::<(), Fault>(())
    };
    let answered = {
        tokio::pin!(forward);
        tokio::select! {
            answered = answer => answered,
            // The pair is closed.
            () = &mut forward => return Ok(()),
        }
    };
    let ended = match answered {
        Err(Fault(reason)) => {
            if !response.has_begun() {
                let _ = sink.send(Message::binary(error_page(reason))).await;
            }
            Err(reason.to_owned())
        }
        Ok(()) => Ok(()),
    };
    // What was sent must arrive before the end does: the close goes last.
    let _ = timeout(CLOSE_LIMIT, sink.close()).await;
    ended
}

/// Passes what else comes of the request on; returns once the pair is closed.
async fn more_of_request(
    mut stream: SplitStream<Socket>,
    mut writer: OwnedWriteHalf,
    count: impl Fn(u64),
) {
    while let Some(Ok(message)) = stream.next().await {
        match message {
            // A server that reads no more may still answer.
            Message::Binary(bytes) => {
                count(bytes.len() as u64);
                let _ = writer.write_all(&bytes).await;
            }
            Message::Close(_) => return,
            _ => {}
        }
    }
}

async fn binary(socket: &mut Socket) -> Option<bytes::Bytes> {
    loop {
        match socket.next().await?.ok()? {
            Message::Binary(bytes) if !bytes.is_empty() => return Some(bytes),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// Lets the router read the answer before the pair ends.
async fn goodbye(mut socket: Socket) {
    let _ = timeout(CLOSE_LIMIT, async {
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() {
                break;
            }
        }
    })
    .await;
    hang_up(socket).await;
}

fn error_page(reason: &str) -> Vec<u8> {
    let body = format!("The task's server cannot be reached: {reason}\n");
    format!(
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
