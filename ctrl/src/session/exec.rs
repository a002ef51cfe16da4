//! A terminal: the pair's bytes are the agent's, as they are.

use futures_util::{SinkExt as _, StreamExt as _};
use osmo_link::Socket;
use osmo_link::pump::{Pumped, pump_telling};
use osmo_protocol::logger::Route;
use osmo_protocol::router::PairKind;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;

use super::Shared;
use super::dial::hang_up;
use crate::local::agent::NoAnswer;
use crate::meters::Kind;

/// What a user may type before the terminal is there; more waits in the pair,
/// and then nobody notices that the user leaves.
const EARLY_BYTES_MAX: usize = 64 << 10;

/// Pipes until either side ends: the other ends with it.
pub(super) async fn serve(shared: &Shared, route: &Route, command: &str) -> Result<(), String> {
    let mut socket = shared.dialer.control(PairKind::Exec, route).await?;
    let mut early = Vec::new();
    let opened = tokio::select! {
        opened = shared.agent.terminal(command) => opened,
        () = gone(&mut socket, &mut early) => return Ok(()),
    };
    match opened {
        Ok(mut terminal) => {
            shared.count(Kind::Terminal, Pumped { received: early.len() as u64, sent: 0 });
            // A user or a program that goes away is no news.
            if terminal.write_all(&early).await.is_ok() {
                let count = |pumped| shared.count(Kind::Terminal, pumped);
                let _ = pump_telling(socket, terminal, &count).await;
            }
            Ok(())
        }
        Err(NoAnswer(reason)) => {
            let sentence = format!("No terminal: {reason}");
            let _ = socket.send(Message::binary(format!("{sentence}\r\n").into_bytes())).await;
            hang_up(socket).await;
            Err(sentence)
        }
    }
}

/// Keeps what is typed; returns once the user has left.
async fn gone(socket: &mut Socket, early: &mut Vec<u8>) {
    while early.len() < EARLY_BYTES_MAX {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => early.extend_from_slice(&bytes),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            Some(Ok(_)) => {}
        }
    }
    std::future::pending().await
}
