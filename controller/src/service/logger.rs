//! The logger: one WebSocket of one sidecar.
//!
//! Frames are handled strictly in order, so an answered `LOG_DONE` vouches for
//! all that came before. How a bad frame ends the conversation is decided in
//! [`message`]; here the two ends are only carried out.

mod message;
mod metric;
mod time;

use super::events::ServiceEvent;
use super::link::{Frame, Link, Out};
use super::store::LogEntry;
use super::{Shared, TaskKey};
use message::{Fault, LineKind, Message};
use metric::Metric;
use osmo_protocol::logger::Action;
use std::time::{Duration, Instant};

/// A sign of life is looked for at the first message, then this seldom.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(600);

/// What to do after a frame.
enum Next {
    GoOn,
    /// Nothing is read, answered or sent any more; the connection stays.
    Silence,
    Drop,
}

pub(crate) async fn serve(link: Link, task: TaskKey, shared: &Shared) {
    if let Some(reason) = unknown(&task, shared) {
        link.close(4000, reason).await;
        return;
    }
    shared.subscribers.mention(&ServiceEvent::Connected { task: task.clone() });
    Session { task: &task, shared, heartbeat_checked: None }.run(link).await;
}

fn unknown(task: &TaskKey, shared: &Shared) -> Option<String> {
    let ledger = shared.ledger();
    let TaskKey { workflow, task: name, .. } = task;
    if !ledger.workflows.contains_key(workflow) {
        Some(format!("Workflow {workflow} is not found."))
    } else if !ledger.tasks.contains_key(task) {
        Some(format!("Task {name} of workflow {workflow} is not found."))
    } else {
        None
    }
}

struct Session<'a> {
    task: &'a TaskKey,
    shared: &'a Shared,
    heartbeat_checked: Option<Instant>,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.shared.subscribers.mention(&ServiceEvent::Disconnected { task: self.task.clone() });
    }
}

impl Session<'_> {
    async fn run(mut self, mut link: Link) {
        let mut action = self.shared.ledger().await_action(self.task);
        loop {
            let next = tokio::select! {
                frame = link.inbound.recv() => match frame {
                    Some(frame) => self.hear(frame, &link).await,
                    None => return,
                },
                popped = &mut action => {
                    action = self.shared.ledger().await_action(self.task);
                    deliver(popped.ok().flatten(), &link).await
                }
            };
            match next {
                Next::GoOn => {}
                Next::Drop => return link.drop_peer().await,
                Next::Silence => {
                    drop(action);
                    return outlast(link).await;
                }
            }
        }
    }

    async fn hear(&mut self, frame: Frame, link: &Link) -> Next {
        let parsed = match &frame {
            Frame::Text(text) => message::parse(text),
            Frame::Binary(_) => Err(Fault::drop("a binary frame")),
        };
        match parsed {
            Ok(message) => self.apply(message, link).await,
            Err(fault) => self.refuse(&fault),
        }
    }

    fn refuse(&self, fault: &Fault) -> Next {
        let task = &self.task.task;
        tracing::debug!(task, reason = %fault.reason, "cannot digest a logger frame");
        match (self.shared.config.strict, fault.drops) {
            (true, true) => Next::Drop,
            (true, false) => Next::Silence,
            (false, _) => {
                tracing::warn!(task, reason = %fault.reason, "skips a logger frame");
                Next::GoOn
            }
        }
    }

    async fn apply(&mut self, message: Message, link: &Link) -> Next {
        self.check_heartbeat(&message);
        if matches!(message, Message::LogDone) {
            let text = Out::Text(Action::LogDone.encode());
            let _ = link.outbound.send(text).await;
            return Next::GoOn;
        }
        let room = self.shared.subscribers.room().await;
        let event = self.store(message);
        if let Some(event) = event {
            room.tell(&event);
        }
        Next::GoOn
    }

    fn check_heartbeat(&mut self, message: &Message) {
        let due = self.heartbeat_checked.is_none_or(|last| last.elapsed() >= HEARTBEAT_EVERY);
        if !due {
            return;
        }
        self.heartbeat_checked = Some(Instant::now());
        if matches!(message, Message::Line(line) if line.kind.is_sign_of_life()) {
            self.shared.ledger().beat(self.task);
        }
    }

    fn store(&self, message: Message) -> Option<ServiceEvent> {
        let task = self.task.clone();
        let mut ledger = self.shared.ledger();
        Some(match message {
            Message::Line(line) => {
                let entry = LogEntry {
                    source: line.source,
                    retry_id: self.task.retry.to_string(),
                    time: line.time,
                    text: line.text.into(),
                    io_type: line.kind.as_str(),
                };
                let line = ledger.store_line(self.task, entry);
                ServiceEvent::Line { task, line }
            }
            Message::Metric(Metric::TaskIo(metric)) => {
                ledger.store_io(self.task, metric.clone());
                ServiceEvent::Transfer { task, metric }
            }
            Message::Metric(Metric::Group(group)) => {
                let times = ledger.store_times(self.task, |times| group.apply(times));
                ServiceEvent::Times { task, times }
            }
            Message::Barrier { name, count } => {
                ledger.arrive(self.task, &name, count);
                ServiceEvent::Barrier { task, name }
            }
            Message::LogDone => return None,
        })
    }
}

async fn deliver(action: Option<Action>, link: &Link) -> Next {
    let Some(action) = action else { return Next::Drop };
    match link.outbound.send(Out::Binary(action.encode().into())).await {
        Ok(()) => Next::GoOn,
        Err(_) => Next::Drop,
    }
}

/// Keeps the connection and ignores what comes, until the peer leaves.
async fn outlast(mut link: Link) {
    while link.inbound.recv().await.is_some() {}
}

impl LineKind {
    /// Control lines do not count.
    fn is_sign_of_life(self) -> bool {
        self != Self::OsmoCtrl
    }
}
