//! Sessions: terminals, forwarded ports, browsers and rsync, each a task of its
//! own that the service's action begins.
//!
//! ```text
//! link ── Action ──► Sessions ── dial ──► router ◄──► user
//!                       │  one bounded table
//!                       └── agent (terminal, probe) · task's port ◄─ pump ─┘
//! ```
//!
//! Invariants: beginning a session never waits; every task holds a seat of the
//! table while it lives, so that the counts are exact and [`Sessions::shutdown`]
//! knows when all are gone; what cannot be served is said in the log and its
//! pair is closed at once, so that no user waits for the router's 60 s.
//!
//! Limits: [`table::SESSIONS_MAX`] sessions, [`table::DATA_MAX`] connections
//! of theirs, [`udp::FLOWS_MAX`] sources of a UDP session.

mod control;
mod dial;
mod exec;
mod rsync;
mod table;
mod tcp;
mod udp;
mod web;

use std::sync::Arc;

use jiff::Timestamp;
use osmo_link::Network;
use osmo_link::pump::Pumped;
use osmo_protocol::logger::{Action, LineType, Metric, Route};
use osmo_protocol::router::PairKind;

use crate::flags::Flags;
use crate::guard;
use crate::local::agent::Agent;
use crate::logs::{Log, time_of_metric};
use crate::meters::{Direction, Kind};
use crate::service::token::Tokens;
use dial::Dialer;
use table::Table;

/// All sessions; clones share the table.
#[derive(Clone)]
pub(crate) struct Sessions(Arc<Shared>);

/// What every session works with.
struct Shared {
    log: Log,
    agent: Agent,
    dialer: Dialer,
    table: Table,
    task: TaskNames,
}

/// Who the metrics are about.
struct TaskNames {
    retry_id: String,
    group: String,
    task: String,
}

impl Sessions {
    pub(crate) fn new(
        flags: &Flags,
        network: Network,
        tokens: Tokens,
        log: Log,
        agent: Agent,
    ) -> Self {
        let dialer = Dialer::new(flags, network, tokens);
        let task = TaskNames {
            retry_id: flags.retry_id.clone(),
            group: flags.group.clone(),
            task: flags.task.clone(),
        };
        Self(Arc::new(Shared { log, agent, dialer, table: Table::default(), task }))
    }

    /// Begins what `action` asks for; never waits.
    pub(crate) fn start(&self, action: Action) {
        let Some((kind, route)) = place(&action) else { return };
        let shared = Arc::clone(&self.0);
        let work = async move {
            // Its bug ends it, and nobody else.
            if let Err(failure) = guard::caught(Arc::clone(&shared).serve(action)).await {
                shared.say(&failure.sentence);
            }
        };
        if self.0.table.session(work) {
            return;
        }
        let reason = match self.0.table.is_over() {
            true => "The task is over".to_owned(),
            false => format!("Too many sessions: {} are open", table::SESSIONS_MAX),
        };
        self.0.say(&format!("{reason}, {} is refused", route.key));
        self.0.turn_away(kind, route);
    }

    /// Seats that are taken.
    pub(crate) fn seats(&self) -> u64 {
        self.0.table.count() as u64
    }

    /// Ends every session and waits, within a bound, until none is left.
    pub(crate) async fn shutdown(&self) {
        if let Some(left) = self.0.table.shutdown().await {
            self.0.log.console().warn(&format!("{left} sessions did not end"));
        }
    }
}

fn meter_kind(action: &Action) -> Option<Kind> {
    match action {
        Action::Exec { .. } => Some(Kind::Terminal),
        Action::PortForward { use_udp: false, .. } => Some(Kind::Tcp),
        Action::PortForward { .. } => Some(Kind::Udp),
        Action::WebServer { .. } => Some(Kind::Web),
        Action::Rsync { .. } => Some(Kind::Rsync),
        Action::LogDone | Action::Barrier | Action::Restart | Action::Unknown => None,
    }
}

fn place(action: &Action) -> Option<(PairKind, Route)> {
    let (kind, route) = match action {
        Action::Exec { route, .. } => (PairKind::Exec, route),
        Action::PortForward { route, .. } => (PairKind::PortForward, route),
        Action::WebServer { route, .. } => (PairKind::WebServer, route),
        Action::Rsync { route, .. } => (PairKind::Rsync, route),
        Action::LogDone | Action::Barrier | Action::Restart | Action::Unknown => return None,
    };
    Some((kind, route.clone()))
}

impl Shared {
    /// Counts what went through a session of `kind`.
    fn count(&self, kind: Kind, pumped: Pumped) {
        let meters = self.log.meters();
        meters.carried(kind, Direction::In, pumped.received);
        meters.carried(kind, Direction::Out, pumped.sent);
    }

    fn say(&self, text: &str) {
        self.log.say(LineType::OsmoCtrl, text);
    }

    async fn serve(self: Arc<Self>, action: Action) {
        let Some(kind) = meter_kind(&action) else { return };
        let _open = self.log.meters().session(kind);
        let served = match action {
            Action::Exec { route, entry_command } => {
                exec::serve(&self, &route, &entry_command).await
            }
            Action::PortForward { route, task_port, use_udp: false } => {
                tcp::serve(&self, &route, task_port).await
            }
            Action::PortForward { route, task_port, .. } => {
                udp::serve(&self, &route, task_port).await
            }
            Action::WebServer { route, task_port } => web::serve(&self, &route, task_port).await,
            Action::Rsync { route, enable_telemetry } => {
                rsync::serve(&self, &route, enable_telemetry).await
            }
            Action::LogDone | Action::Barrier | Action::Restart | Action::Unknown => Ok(()),
        };
        if let Err(reason) = served {
            self.say(&reason);
        }
    }

    /// Has the pair of somebody who is refused closed.
    fn turn_away(self: &Arc<Self>, kind: PairKind, route: Route) {
        let (shared, key) = (Arc::clone(self), route.key.clone());
        if !self.table.refusal(async move { shared.refuse(kind, &route).await }) {
            self.say(&format!("{key} is not even told: so many are being refused"));
        }
    }

    /// Closes the pair at once: else its user waits for the router's limit.
    async fn refuse(&self, kind: PairKind, route: &Route) {
        if let Ok(socket) = self.dialer.once(kind, route).await {
            dial::hang_up(socket).await;
        }
    }

    /// What a session moved, as a metric.
    fn tell_moved(&self, io_type: &str, begin: Timestamp, bytes: u64) {
        self.log.metric(Metric::TaskIoMetrics {
            retry_id: self.task.retry_id.clone(),
            group_name: self.task.group.clone(),
            task_name: self.task.task.clone(),
            url: String::new(),
            io_type: io_type.to_owned(),
            start_time: time_of_metric(begin),
            end_time: time_of_metric(Timestamp::now()),
            size_in_bytes: bytes,
            number_of_files: 0,
            operation_type: String::new(),
            download_type: "N/A".to_owned(),
        });
    }
}
