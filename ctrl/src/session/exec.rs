//! A terminal: the pair's bytes are the agent's, as they are.

use futures_util::SinkExt as _;
use osmo_link::pump::pump;
use osmo_protocol::logger::Route;
use osmo_protocol::router::PairKind;
use tokio_tungstenite::tungstenite::Message;

use super::Shared;
use super::dial::hang_up;
use crate::local::agent::NoAnswer;
use crate::meters::Kind;

/// Pipes until either side ends: the other ends with it.
pub(super) async fn serve(shared: &Shared, route: &Route, command: &str) -> Result<(), String> {
    let mut socket = shared.dialer.control(PairKind::Exec, route).await?;
    match shared.agent.terminal(command).await {
        Ok(terminal) => {
            // A user who goes away is no news.
            shared.count(Kind::Terminal, pump(socket, terminal).await.unwrap_or_default());
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
