//! The connection: dials, carries, judges, dials again.

pub(crate) mod dial;
mod pulse;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use osmo_link::{Network, Socket};
use osmo_protocol::exit::ExitCode;
use osmo_protocol::logger::LineType;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};

use dial::dial;
use pulse::{ANSWER_LIMIT, Pulse, SILENCE};

use super::inbox::{self, Wish};
use super::outbox::Outbox;
use super::token::{NoToken, Tokens};
use super::{Address, Backoff};
use crate::flags::Flags;
use crate::lifecycle::{Event, Failure};
use crate::logs::Log;
use crate::session::Sessions;

const DIAL_LIMIT: Duration = Duration::from_secs(15);
/// A write that takes longer means that nobody reads.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// The shortest pause after which an acknowledgement is asked.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The service's close code for a task that it does not know.
const CLOSE_UNKNOWN: u16 = 4000;
/// So often a connection may end over a metric before the metric is left out:
/// the service drops whoever sends one that it cannot read.
const DOUBTS_MAX: u32 = 3;
/// So often it may say so before we believe it.
const UNKNOWN_MAX: u32 = 3;

/// Why a connection ended.
#[derive(Debug)]
struct Lost {
    reason: String,
    /// The service had gone deaf, perhaps over a metric.
    deaf: bool,
    /// The service does not know the task.
    unknown: bool,
}

impl Lost {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), deaf: false, unknown: false }
    }
}

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        Self::new(format!("the connection broke: {error}"))
    }
}

/// What a link works with.
pub(crate) struct Means {
    pub(crate) network: Network,
    pub(crate) tokens: Tokens,
    pub(crate) sessions: Sessions,
}

/// The link's own task.
pub(crate) struct Link {
    address: Address,
    header: String,
    means: Means,
    outbox: Arc<Outbox>,
    log: Log,
    events: mpsc::Sender<Event>,
    /// How long the service may be away.
    limit: Duration,
    /// How long a line may wait for others.
    period: Duration,
    pause: Duration,
    backoff: Backoff,
    /// When the service was last known to do its work.
    good_at: Instant,
    connections: u32,
    refusals: u32,
    /// Connections in a row that took a metric and ended without a word.
    doubts: u32,
}

impl Link {
    pub(crate) fn new(
        flags: &Flags,
        address: Address,
        means: Means,
        log: Log,
        outbox: Arc<Outbox>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            header: flags.token_header.clone(),
            means,
            address,
            outbox,
            log,
            events,
            limit: flags.link_timeout,
            period: flags.logs_period,
            pause: flags.logs_period.max(PAUSE_MIN),
            backoff: Backoff::new(seed()),
            good_at: Instant::now(),
            connections: 0,
            refusals: 0,
            doubts: 0,
        }
    }

    /// Keeps a connection until the service is lost for good.
    pub(crate) async fn run(mut self) {
        let failure = loop {
            if let Err(failure) = self.until_lost().await {
                break failure;
            }
        };
        let _ = self.events.send(Event::LinkLost(failure)).await;
    }

    /// One connection, from the first attempt to its loss.
    async fn until_lost(&mut self) -> Result<(), Failure> {
        let mut socket = self.connect().await?;
        self.connections += 1;
        self.log.meters().link_up();
        if self.connections == 1 {
            let _ = self.events.send(Event::LinkUp).await;
        } else {
            let line = format!("Websocket Connection: {}", self.connections);
            self.log.say(LineType::OsmoCtrl, &line);
        }
        let mut pulse = Pulse::new();
        let lost = match self.carry(&mut socket, &mut pulse).await {
            Ok(never) => match never {},
            Err(lost) => lost,
        };
        self.log.meters().link_down();
        self.log.console().warn(&format!("lost the service: {}", lost.reason));
        let doubtful = !pulse.has_answered() && self.outbox.has_sent_metric();
        self.doubts = if doubtful { self.doubts + 1 } else { 0 };
        self.outbox.rewind(lost.deaf || self.doubts >= DOUBTS_MAX);
        if pulse.is_proven() {
            self.good_at = Instant::now();
            self.backoff.reset();
        }
        self.refusals = if lost.unknown { self.refusals + 1 } else { 0 };
        if self.refusals >= UNKNOWN_MAX {
            let sentence = format!("The service does not know this task: {}", lost.reason);
            return Err(Failure::new(ExitCode::WebSocketMessage, sentence));
        }
        self.wait(&lost.reason).await
    }

    /// Dials until somebody answers or the time is up.
    async fn connect(&mut self) -> Result<Socket, Failure> {
        loop {
            let reason = match self.means.tokens.token().await {
                Ok(token) => {
                    let (network, address) = (&self.means.network, &self.address);
                    let dial = dial(network, address, &self.header, &token);
                    match timeout(DIAL_LIMIT, dial).await {
                        Ok(Ok(socket)) => return Ok(socket),
                        Ok(Err(refusal)) => {
                            if refusal.of_token {
                                self.means.tokens.forget(&token).await;
                            }
                            refusal.reason
                        }
                        Err(_) => "the dial got no answer".to_owned(),
                    }
                }
                Err(NoToken::Never(sentence)) => {
                    return Err(Failure::new(ExitCode::Token, sentence));
                }
                Err(NoToken::NotNow(reason)) => reason,
            };
            self.log.console().warn(&format!("no service yet: {reason}"));
            self.wait(&reason).await?;
        }
    }

    /// The pause before the next attempt, unless the time is up.
    async fn wait(&mut self, reason: &str) -> Result<(), Failure> {
        let wait = self.backoff.wait();
        if self.good_at.elapsed() + wait > self.limit {
            let minutes = self.limit.as_secs() / 60;
            let place = self.address.place.authority();
            let sentence = format!(
                "The service at {place} was away for {minutes} minutes (-timeout): {reason}"
            );
            return Err(Failure::new(ExitCode::WebSocketTimeout, sentence));
        }
        sleep(wait).await;
        Ok(())
    }

    /// Sends and receives until the connection is lost.
    async fn carry(
        &self,
        socket: &mut Socket,
        pulse: &mut Pulse,
    ) -> Result<std::convert::Infallible, Lost> {
        loop {
            let (unmarked, at_once) = self.outbox.unmarked();
            let due = pulse.due(unmarked, self.outbox.is_owed(), self.pause);
            tokio::select! {
                frame = socket.next() => {
                    pulse.heard();
                    self.receive(socket, frame, pulse).await?;
                }
                () = self.outbox.ready(self.period) => {
                    self.send_batch(socket).await?;
                    pulse.sent();
                    let (unmarked, at_once) = self.outbox.unmarked();
                    if at_once && unmarked > 0 {
                        self.send_mark(socket, pulse).await?;
                    }
                }
                () = sleep_until(due) => {
                    if unmarked > 0 && (at_once || pulse.paused(self.pause)) {
                        self.send_mark(socket, pulse).await?;
                    }
                    self.judge(socket, pulse).await?;
                }
            }
        }
    }

    async fn receive(
        &self,
        socket: &mut Socket,
        frame: Option<Result<Message, Error>>,
        pulse: &mut Pulse,
    ) -> Result<(), Lost> {
        let wish = match frame {
            None => return Err(Lost::new("the connection ended")),
            Some(frame) => match frame? {
                Message::Text(text) => inbox::read(text.as_bytes()),
                Message::Binary(bytes) => inbox::read(&bytes),
                // The answer is queued by the library; this sends it.
                Message::Ping(_) => return timed(socket.flush()).await,
                Message::Close(close) => {
                    let (code, reason) = close.map_or((1005, String::new()), |close| {
                        (u16::from(close.code), close.reason.to_string())
                    });
                    let mut lost = Lost::new(format!("closed with {code} {reason}"));
                    lost.unknown = code == CLOSE_UNKNOWN;
                    return Err(lost);
                }
                Message::Pong(_) | Message::Frame(_) => Wish::Nothing,
            },
        };
        match wish {
            Wish::Acknowledged => {
                pulse.answered();
                let dropped = self.outbox.acknowledge();
                if dropped > 0 {
                    self.log.say(
                        LineType::Stderr,
                        &format!(
                            "WARNING: the service could not take lines fast enough, \
                         {dropped} lines have been dropped!"
                        ),
                    );
                }
            }
            Wish::BarrierPassed => {
                let _ = self.events.send(Event::BarrierPassed).await;
            }
            Wish::Restart => {
                let _ = self.events.send(Event::Restart).await;
            }
            Wish::Session(action) => self.means.sessions.start(action),
            Wish::Nothing => {}
        }
        Ok(())
    }

    async fn send_batch(&self, socket: &mut Socket) -> Result<(), Lost> {
        timed(async {
            for frame in self.outbox.batch() {
                socket.feed(Message::Text(frame)).await?;
            }
            socket.flush().await
        })
        .await
    }

    async fn send_mark(&self, socket: &mut Socket, pulse: &mut Pulse) -> Result<(), Lost> {
        let frame = self.log.frame(LineType::LogDone, "").encode();
        self.outbox.mark();
        pulse.asked();
        timed(socket.send(Message::text(frame))).await
    }

    /// Whether the peer still lives.
    async fn judge(&self, socket: &mut Socket, pulse: &mut Pulse) -> Result<(), Lost> {
        if self.outbox.is_owed() && pulse.asked_at.elapsed() >= ANSWER_LIMIT {
            let mut lost =
                Lost::new(format!("no acknowledgement for {} s", ANSWER_LIMIT.as_secs()));
            lost.deaf = true;
            return Err(lost);
        }
        let silent = pulse.heard_at.elapsed();
        if silent >= SILENCE * 3 {
            return Err(Lost::new(format!("silent for {} s", silent.as_secs())));
        }
        if silent >= SILENCE && pulse.pinged_at.elapsed() >= SILENCE {
            pulse.pinged_at = Instant::now();
            timed(socket.send(Message::Ping(bytes::Bytes::new()))).await?;
        }
        Ok(())
    }
}

async fn timed(writing: impl Future<Output = Result<(), Error>>) -> Result<(), Lost> {
    match timeout(WRITE_LIMIT, writing).await {
        Ok(written) => Ok(written?),
        Err(_) => Err(Lost::new(format!("a write took {} s", WRITE_LIMIT.as_secs()))),
    }
}

/// Differs between the sidecars of a group.
fn seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}
