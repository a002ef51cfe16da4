//! Settings of the local service, and why it could not start.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::folders::RsyncFolder;

/// How the service listens, judges and forgets.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Loopback; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Life of a token from the token call.
    pub token_life: Duration,
    /// Which of the real applications answers the token call.
    pub token_application: TokenApplication,
    /// Ask for a token at every WebSocket dial and user call, as the gateway of
    /// a deployment does.
    pub authorize: bool,
    /// Fail as the real service fails; else skip what cannot be understood.
    pub strict: bool,
    /// From one ping to the next.
    pub ping_every: Duration,
    /// A ping unanswered for this long ends the connection with 1011.
    pub pong_wait: Duration,
    /// How long a peer may take to send the head of a request, and then the
    /// body of a call.
    pub request_wait: Duration,
    /// How long one side of a router pair waits for the other.
    pub pair_wait: Duration,
    /// How long a webserver's key is kept at least.
    pub webserver_kept: Duration,
    /// Then it goes when no browser has asked for so long.
    pub webserver_idle: Duration,
    /// A longer WebSocket message ends its connection with 1009.
    pub message_bytes_max: usize,
    /// Lines kept per workflow; the oldest go first.
    pub workflow_lines_max: usize,
    /// Lines kept per task; up to a tenth more stay for a while.
    pub task_lines_max: usize,
    /// Bytes of lines kept per workflow and per task; the oldest go first.
    pub log_bytes_max: usize,
    /// Connections at once; one more is closed at once.
    pub connections_max: usize,
    /// What users learn of the folders that rsync reaches.
    pub rsync_allow: Vec<RsyncFolder>,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token_life: Duration::from_secs(300),
            token_application: TokenApplication::Core,
            authorize: true,
            strict: true,
            ping_every: Duration::from_secs(20),
            pong_wait: Duration::from_secs(20),
            request_wait: Duration::from_secs(30),
            pair_wait: Duration::from_secs(60),
            webserver_kept: Duration::from_secs(3600),
            webserver_idle: Duration::from_secs(1800),
            message_bytes_max: 16 << 20,
            workflow_lines_max: 10_000,
            task_lines_max: 1_000,
            log_bytes_max: 64 << 20,
            connections_max: 1_024,
            rsync_allow: Vec::new(),
        }
    }
}

/// The applications of a deployment that know the token call; they word a
/// refusal differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenApplication {
    /// 400 with a sentence.
    Core,
    /// 500 without one.
    Logger,
}

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// It speaks plain HTTP with secrets in it.
    #[error("the local service cannot listen on {0}: it serves this machine only; use 127.0.0.1")]
    NotLoopback(SocketAddr),
    /// The system refused the address.
    #[error("cannot listen on {address}: {source}; choose a free port, or port 0")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
}
