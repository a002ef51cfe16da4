//! The control pair of a forwarded port: who is to be dialled back.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use osmo_link::Socket;
use osmo_protocol::router::DialBack;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::Message;

const PING_EVERY: Duration = Duration::from_secs(20);
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// What a control message may be long; the rest is junk.
const CONTROL_BYTES_MAX: usize = 16 << 10;
/// Messages that are no control message, told at most so often.
const JUNK_TOLD_MAX: u32 = 3;

/// Which frames carry control messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// From the user's program.
    Binary,
    /// From the router.
    Text,
}

/// The reading side of a control pair, which notices a dead peer.
pub(crate) struct Control {
    socket: Socket,
    form: Form,
    ping: Interval,
    heard: Instant,
    junk: u32,
}

/// What comes on a control pair.
pub(crate) enum Word {
    /// Dial back.
    Dial(DialBack),
    /// Junk that is worth a line.
    Junk(&'static str),
}

impl Control {
    pub(crate) fn new(socket: Socket, form: Form) -> Self {
        let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { socket, form, ping, heard: Instant::now(), junk: 0 }
    }

    /// The next word; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Word> {
        loop {
            let message = tokio::select! {
                message = self.socket.next() => message?.ok()?,
                _ = self.ping.tick() => {
                    if self.heard.elapsed() > SILENCE_LIMIT {
                        return None;
                    }
                    let ping = self.socket.send(Message::Ping(bytes::Bytes::new()));
                    timeout(SILENCE_LIMIT, ping).await.ok()?.ok()?;
                    continue;
                }
            };
            self.heard = Instant::now();
            let (form, payload) = match message {
                Message::Binary(bytes) => (Form::Binary, bytes),
                Message::Text(text) => (Form::Text, text.into()),
                Message::Close(_) => return None,
                _ => continue,
            };
            let right = form == self.form && payload.len() <= CONTROL_BYTES_MAX;
            match serde_json::from_slice(&payload) {
                Ok(dial) if right => return Some(Word::Dial(dial)),
                _ => self.junk += 1,
            }
            if self.junk <= JUNK_TOLD_MAX {
                return Some(Word::Junk("A control message of a session is not understood"));
            }
        }
    }

    pub(crate) async fn hang_up(self) {
        super::dial::hang_up(self.socket).await;
    }
}
