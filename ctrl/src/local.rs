//! The agent's side: the unix socket, and who may speak on it.
//!
//! The socket is world-writable, since a user's image runs as anyone; so a
//! connection becomes the main one only after it has shown the token that
//! `osmo-init` left beside the socket. Where there is none (the original init
//! container), the first connection is taken, and that is said once.

pub(crate) mod agent;
mod greet;
mod orders;
mod terminal;

use std::path::Path;
use std::time::Duration;

use osmo_protocol::exit::ExitCode;
use osmo_protocol::layout;
use osmo_protocol::logger::LineType;
use osmo_protocol::socket::Frame;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::lifecycle::{Event, Failure};
use crate::logs::Log;
use agent::Answers;
use greet::{Frames, Main};
pub(crate) use orders::Orders;

/// Connections that have not said yet who they are; more wait in the kernel.
const GREETINGS_MAX: usize = 16;

/// The listening socket and the token that opens it.
pub(crate) struct Local {
    listener: UnixListener,
    token: Option<String>,
    limit: Duration,
    log: Log,
    events: mpsc::Sender<Event>,
    answers: Answers,
}

/// How the command ended, as far as the agent told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommandCode(pub(crate) Option<i32>);

impl Local {
    /// Takes the socket's place over and listens.
    pub(crate) fn listen(
        socket: &Path,
        limit: Duration,
        log: Log,
        events: mpsc::Sender<Event>,
        answers: Answers,
    ) -> Result<Self, Failure> {
        use std::os::unix::fs::PermissionsExt as _;
        let failed = |what: &str, error: std::io::Error| {
            let place = socket.display();
            Failure::new(ExitCode::UnixSocket, format!("Cannot {what} the socket {place}: {error}"))
        };
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed("replace", error));
            }
            _ => {}
        }
        // Read before listening: the agent deletes it once it is connected.
        let token = std::fs::read_to_string(layout::handoff_beside(socket)).ok();
        let listener = UnixListener::bind(socket).map_err(|error| failed("create", error))?;
        let mode = std::fs::Permissions::from_mode(layout::MODE_SHARED);
        std::fs::set_permissions(socket, mode).map_err(|error| failed("open", error))?;
        Ok(Self { listener, token, limit, log, events, answers })
    }

    /// Knows the token also after the agent has deleted it.
    pub(crate) fn remembering(mut self, token: Option<String>) -> Self {
        self.token = self.token.or(token);
        self
    }

    /// Serves the agent until it is gone; `orders` is what it is told.
    pub(crate) async fn serve(self, orders: Orders, code: tokio::sync::watch::Sender<CommandCode>) {
        if self.token.is_none() {
            self.log.console().warn("no handoff token beside the socket: anyone may be the agent");
        }
        let agent = match timeout(self.limit, self.main_connection()).await {
            Ok(agent) => agent,
            Err(_) => {
                let minutes = self.limit.as_secs() / 60;
                let sentence = format!(
                    "The user container did not connect within {minutes} minutes (-unixTimeout)"
                );
                self.lost(sentence).await;
                return;
            }
        };
        let _ = self.events.send(Event::AgentConnected).await;
        let (frames, mut writer) = agent.split();
        // The agent keeps lines only for a sidecar that tells which are stored.
        let _ = writer.write_all(&Frame::LinesStored { lines: 0 }.encode()).await;
        tokio::select! {
            () = self.relay(frames, code) => {}
            () = orders.write(writer) => {}
            () = self.later_connections() => {}
        }
    }

    async fn lost(&self, sentence: String) {
        let failure = Failure::new(ExitCode::UnixSocket, sentence);
        let _ = self.events.send(Event::AgentLost(failure)).await;
    }

    async fn main_connection(&self) -> Main {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    self.log.console().warn(&format!("cannot accept on the socket: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            match greet::greet(stream, self.token.as_deref()).await {
                Ok(agent) => return agent,
                Err(reason) => {
                    self.log.console().warn(&format!("turned a connection away: {reason}"));
                }
            }
        }
    }

    /// There is one agent; whoever comes later brings a terminal, or leaves.
    async fn later_connections(&self) {
        let mut greetings = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if greetings.len() < GREETINGS_MAX => {
                    let Ok((stream, _)) = accepted else {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    };
                    let token = self.token.clone();
                    let greeting = async move { greet::greet_terminal(stream, token.as_deref()).await };
                    greetings.spawn(greeting);
                }
                Some(Ok(greeted)) = greetings.join_next(), if !greetings.is_empty() => match greeted {
                    Ok((session, terminal)) => self.answers.terminal(session, terminal),
                    Err(reason) => {
                        self.log.console().warn(&format!("turned a connection away: {reason}"));
                    }
                }
            }
        }
    }

    /// Passes on what the agent says, to the end of the connection.
    async fn relay(&self, mut frames: Frames, code: tokio::sync::watch::Sender<CommandCode>) {
        let reason = loop {
            match frames.next().await {
                Ok(Some(frame)) => self.apply(frame, &code).await,
                Ok(None) => break "The user container left without a word".to_owned(),
                Err(error) => break format!("The user container cannot be understood: {error}"),
            }
        };
        self.lost(format!("{reason}; was it killed, or out of memory?")).await;
    }

    async fn apply(&self, frame: Frame, code: &tokio::sync::watch::Sender<CommandCode>) {
        match frame {
            Frame::MessageOut(line) => self.log.relay(LineType::Stdout, &line).await,
            Frame::MessageErr(line) => self.log.relay(LineType::Stderr, &line).await,
            Frame::MessageOps(line) => self.log.relay(LineType::OsmoCtrl, &line).await,
            Frame::UserRsyncStatus { running, port } => self.answers.rsync(running, port),
            Frame::PortReady { port } => self.answers.port(port, true),
            Frame::PortRefused { port } => self.answers.port(port, false),
            Frame::TerminalEnded { session, .. } => self.answers.terminal_ended(session),
            Frame::UserStopFinished => {
                let _ = self.events.send(Event::CommandStopped).await;
            }
            Frame::State { state } => {
                let _ = self.events.send(Event::AgentState(state)).await;
            }
            Frame::ExecFinished => self.ended(Some(0), code).await,
            Frame::ExecFailed { message, code: told } => {
                self.log.relay(LineType::Stderr, message.trim_end_matches('\n')).await;
                self.ended(told, code).await;
            }
            _ => {}
        }
    }

    async fn ended(&self, told: Option<i32>, code: &tokio::sync::watch::Sender<CommandCode>) {
        code.send_replace(CommandCode(told));
        let _ = self.events.send(Event::CommandEnded).await;
    }
}
