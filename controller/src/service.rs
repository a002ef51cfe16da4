//! The local service: what a task pod expects behind its network, on loopback.
//!
//! ```text
//! sidecar ─ POST token call ────────► token ──► ledger (tasks, logs, metrics,
//!         ─ WebSocket logger ───────► logger ─►         barriers, actions)
//!         ─ WebSocket router/backend► router ─┐              │ ServiceEvent
//! user    ─ WebSocket router/client ► router ─┘ pairs        ▼
//!         ─ POST exec, portforward… ► user ───► ledger    runner, tests
//! ```
//!
//! It answers as the real service does, frame by frame; its conformance test
//! replays recordings of the real one. In strict mode (the default) it also
//! fails as the real one fails: a malformed value ends the reading of a logger
//! connection for good, a missing key drops it. With `strict` off such a frame
//! is skipped and reported in this process's log.
//!
//! What it is not: a database (all is in memory and bounded), a scheduler, or
//! a gateway. It speaks plain HTTP and binds loopback only. Browsers reach a
//! task's webserver under `http://<key>.localhost:PORT/`.
//!
//! Invariants:
//! * `log_done` is sent after every earlier line of the connection is stored
//!   and given to every subscriber.
//! * The ledger lock is never held across an await.
//! * A restart ([`LocalService::pause`], [`LocalService::resume`]) loses every
//!   connection and pair, and no stored line, metric, action or barrier.
//!
//! Limits are in [`ServiceConfig`].

mod auth;
mod browser;
mod config;
mod events;
mod folders;
mod http;
mod ledger;
mod link;
mod listen;
mod logger;
mod logs;
mod query;
mod refusal;
mod reply;
mod router;
mod store;
mod task;
mod token;
mod user;
mod webserver;

pub use auth::Role;
pub use config::{ServiceConfig, ServiceError, TokenApplication};
pub use events::ServiceEvent;
pub use folders::RsyncFolder;
pub use ledger::Ledger;
pub use store::{LogEntry, TaskIo, TaskTimes};
pub use task::{TaskIdentity, TaskKey, TaskStatus, WorkflowStatus};

use events::Subscribers;
use listen::Listening;
use osmo_protocol::logger::Action;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};

/// Life of a lasting token: the key that signs it dies with the process.
const LASTING: std::time::Duration = std::time::Duration::from_secs(10 * 365 * 86_400);

/// The service, listening. Dropping it stops it without waiting.
pub struct LocalService {
    shared: Arc<Shared>,
    listening: tokio::sync::Mutex<Option<Listening>>,
}

/// What every connection sees.
pub(crate) struct Shared {
    pub(crate) config: ServiceConfig,
    pub(crate) address: SocketAddr,
    pub(crate) keys: auth::Keys,
    pub(crate) subscribers: Subscribers,
    pub(crate) pairs: router::Pairs,
    pub(crate) webservers: webserver::Webservers,
    /// Who follows logs just now.
    pub(crate) readers: watch::Sender<usize>,
    ledger: Mutex<Ledger>,
}

impl Shared {
    /// The ledger, for a short synchronous look or change.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LocalService {
    /// Binds and starts to serve on the runtime of the caller.
    ///
    /// # Errors
    ///
    /// The address is not loopback, or cannot be bound.
    pub async fn start(config: ServiceConfig) -> Result<Self, ServiceError> {
        if !config.address.ip().is_loopback() {
            return Err(ServiceError::NotLoopback(config.address));
        }
        let (listener, address) = listen::bind(config.address).await?;
        let ledger = Mutex::new(Ledger::new(&config));
        let shared = Arc::new(Shared {
            address,
            keys: auth::Keys::random(config.token_life),
            subscribers: Subscribers::default(),
            pairs: router::Pairs::default(),
            webservers: webserver::Webservers::default(),
            readers: watch::Sender::new(0),
            ledger,
            config,
        });
        let listening = Listening::start(listener, Arc::clone(&shared));
        Ok(Self { shared, listening: tokio::sync::Mutex::new(Some(listening)) })
    }

    /// Where it listens; the same before and after a restart.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Makes a task known and gives its refresh token (43 characters). The task
    /// is `Running` until [`Self::set_status`] says otherwise. Adding it again
    /// gives the same token.
    pub fn add_task(&self, identity: TaskIdentity) -> String {
        self.shared.ledger().add_task(identity)
    }

    /// A token for a user's calls (REST, router client), for `token_life`.
    pub fn user_token(&self) -> String {
        self.shared.keys.issue(Role::User).0
    }

    /// A token for a user's calls that lives as long as this process can: for
    /// who started it and works beside it.
    pub fn lasting_user_token(&self) -> String {
        self.shared.keys.issue_for(Role::User, LASTING).0
    }

    /// A token as the token call would give it to a sidecar.
    pub fn sidecar_token(&self) -> String {
        self.shared.keys.issue(Role::Sidecar).0
    }

    /// The tasks, logs, metrics, barriers and actions, for a short look or
    /// change: status, masking, restart, barrier sets. The guard must not live
    /// across an await.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.ledger()
    }

    /// Changes what Kubernetes and the database would say about a task.
    pub fn set_status(&self, task: &TaskKey, status: TaskStatus) {
        self.shared.ledger().set_status(task, status);
    }

    /// Sends an action to the task, now or when it connects. False when the
    /// task is unknown or its queue is full.
    pub fn push_action(&self, task: &TaskKey, action: Action) -> bool {
        self.shared.ledger().push_action(task, Some(action))
    }

    /// Stored lines of a task, oldest first.
    pub fn logs(&self, task: &TaskKey) -> Vec<LogEntry> {
        self.shared.ledger().task_logs(task)
    }

    /// Transfers that the tasks of a workflow reported.
    pub fn metrics(&self, workflow: &str) -> Vec<TaskIo> {
        self.shared.ledger().task_io(workflow)
    }

    /// Every event from now on. A slow subscriber slows the loggers down
    /// instead of losing lines: a connection is not read further, and
    /// `log_done` not sent, until each subscriber has room. Only `Connected`
    /// and `Disconnected` are skipped when there is none. Drop the receiver to
    /// unsubscribe.
    pub fn subscribe(&self) -> mpsc::Receiver<ServiceEvent> {
        self.shared.subscribers.subscribe()
    }

    /// Waits until nobody follows logs any more, at most `limit`. Followers end
    /// by themselves when their workflow has.
    pub async fn readers_gone(&self, limit: std::time::Duration) {
        let mut readers = self.shared.readers.subscribe();
        let _ = tokio::time::timeout(limit, readers.wait_for(|count| *count == 0)).await;
    }

    /// Ends every connection without a close frame, as a crash would, and goes
    /// on listening.
    pub async fn kill_connections(&self) {
        if let Some(listening) = self.listening.lock().await.as_ref() {
            listening.kill_connections();
        }
    }

    /// The service goes away: connections end, dials are refused.
    pub async fn pause(&self) {
        if let Some(listening) = self.listening.lock().await.take() {
            listening.stop().await;
        }
        self.shared.pairs.clear();
        self.shared.webservers.clear();
    }

    /// The service comes back on the same address.
    ///
    /// # Errors
    ///
    /// The address was taken by somebody else in the meantime.
    pub async fn resume(&self) -> Result<(), ServiceError> {
        let mut listening = self.listening.lock().await;
        if listening.is_none() {
            let (listener, _) = listen::bind(self.shared.address).await?;
            *listening = Some(Listening::start(listener, Arc::clone(&self.shared)));
        }
        Ok(())
    }

    /// Ends every connection and waits until all of them are gone.
    pub async fn stop(self) {
        self.pause().await;
    }
}
