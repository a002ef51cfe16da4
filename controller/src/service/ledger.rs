//! Everything the service knows, changed in short synchronous steps.
//!
//! It stands for the database and the queues of a deployment: what is here
//! survives a restart of the service.

use super::auth;
use super::config::ServiceConfig;
use super::store::{LogEntry, LogStream, TaskIo, TaskTimes};
use super::task::{Life, TaskIdentity, TaskKey, TaskStatus, WorkflowStatus};
use osmo_protocol::logger::Action;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::SystemTime;
use tokio::sync::{oneshot, watch};

/// Actions that may wait for a task to connect.
const ACTIONS_MAX: usize = 1024;
/// Barriers of one workflow.
const BARRIERS_MAX: usize = 64;
/// Transfers remembered per workflow.
const TASK_IO_MAX: usize = 10_000;
/// Shorter secrets are too common to be masked.
const SECRET_LEN_MIN: usize = 8;

/// An action, or one whose value has expired.
pub(crate) type Queued = Option<Action>;

/// The service's memory.
pub struct Ledger {
    pub(super) tasks: BTreeMap<TaskKey, Task>,
    pub(super) workflows: BTreeMap<String, Workflow>,
    task_lines_max: usize,
    workflow_lines_max: usize,
    log_bytes_max: usize,
    /// Ticks when a line or a status is new.
    changed: watch::Sender<()>,
}

pub(crate) struct Task {
    pub(crate) identity: TaskIdentity,
    pub(crate) refresh_token: String,
    pub(crate) status: TaskStatus,
    pub(crate) life: Life,
    secrets: Vec<String>,
    logs: LogStream,
    actions: VecDeque<Queued>,
    waiters: VecDeque<oneshot::Sender<Queued>>,
    heartbeat: Option<SystemTime>,
    times: TaskTimes,
}

pub(crate) struct Workflow {
    pub(crate) status: WorkflowStatus,
    pub(crate) life: Life,
    logs: LogStream,
    task_io: VecDeque<TaskIo>,
    barriers: BTreeMap<(String, String), BTreeSet<TaskKey>>,
}

impl Ledger {
    pub(crate) fn new(config: &ServiceConfig) -> Self {
        Self {
            tasks: BTreeMap::new(),
            workflows: BTreeMap::new(),
            task_lines_max: config.task_lines_max,
            workflow_lines_max: config.workflow_lines_max,
            log_bytes_max: config.log_bytes_max,
            changed: watch::Sender::new(()),
        }
    }

    pub(crate) fn add_task(&mut self, identity: TaskIdentity) -> String {
        let (lines, bytes) = (self.workflow_lines_max, self.log_bytes_max);
        self.workflows.entry(identity.workflow.clone()).or_insert_with(|| Workflow {
            status: WorkflowStatus::default(),
            life: Life::begin(),
            logs: LogStream::new(lines, lines / 10, bytes),
            task_io: VecDeque::new(),
            barriers: BTreeMap::new(),
        });
        let lines = self.task_lines_max;
        let task = self.tasks.entry(identity.key()).or_insert_with(|| Task {
            identity,
            refresh_token: auth::refresh_token(),
            status: TaskStatus::Running,
            life: Life::begin(),
            secrets: Vec::new(),
            logs: LogStream::new(lines, lines / 10, bytes),
            actions: VecDeque::new(),
            waiters: VecDeque::new(),
            heartbeat: None,
            times: TaskTimes::default(),
        });
        task.refresh_token.clone()
    }

    /// Replaces a task's refresh token, for a pod that was given one already.
    pub fn set_refresh_token(&mut self, task: &TaskKey, token: &str) {
        if let Some(task) = self.tasks.get_mut(task) {
            token.clone_into(&mut task.refresh_token);
        }
    }

    /// State of a task.
    pub fn set_status(&mut self, task: &TaskKey, status: TaskStatus) {
        if let Some(task) = self.tasks.get_mut(task) {
            task.status = status;
            if status.is_finished() {
                task.life.end();
            }
        }
        self.changed.send_replace(());
    }

    /// State of a workflow.
    pub fn set_workflow_status(&mut self, workflow: &str, status: WorkflowStatus) {
        if let Some(workflow) = self.workflows.get_mut(workflow) {
            workflow.status = status;
            if status == WorkflowStatus::Completed {
                workflow.life.end();
            }
        }
        self.changed.send_replace(());
    }

    /// Values to mask in a task's lines; those below 8 characters are not.
    pub fn set_secrets(&mut self, task: &TaskKey, mut secrets: Vec<String>) {
        secrets.retain(|secret| secret.chars().count() >= SECRET_LEN_MIN);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        if let Some(task) = self.tasks.get_mut(task) {
            task.secrets = secrets;
        }
    }

    /// Stored lines of a task, oldest first.
    pub fn task_logs(&self, task: &TaskKey) -> Vec<LogEntry> {
        self.tasks.get(task).map(|t| t.logs.entries().cloned().collect()).unwrap_or_default()
    }

    /// Stored lines of a workflow, oldest first.
    pub fn workflow_logs(&self, workflow: &str) -> Vec<LogEntry> {
        let workflow = self.workflows.get(workflow);
        workflow.map(|w| w.logs.entries().cloned().collect()).unwrap_or_default()
    }

    /// Transfers of a workflow, oldest first.
    pub fn task_io(&self, workflow: &str) -> Vec<TaskIo> {
        let workflow = self.workflows.get(workflow);
        workflow.map(|w| w.task_io.iter().cloned().collect()).unwrap_or_default()
    }

    /// Begin and end of a task's transfers.
    pub fn times(&self, task: &TaskKey) -> TaskTimes {
        self.tasks.get(task).map(|task| task.times.clone()).unwrap_or_default()
    }

    /// When the task last gave a sign of life; checked at the first message of
    /// a connection and every ten minutes.
    pub fn heartbeat(&self, task: &TaskKey) -> Option<SystemTime> {
        self.tasks.get(task)?.heartbeat
    }

    pub(crate) fn beat(&mut self, task: &TaskKey) {
        if let Some(task) = self.tasks.get_mut(task) {
            task.heartbeat = Some(SystemTime::now());
        }
    }

    /// Stores a line, masked; gives back what was stored.
    pub(crate) fn store_line(&mut self, key: &TaskKey, mut entry: LogEntry) -> LogEntry {
        if let Some(task) = self.tasks.get_mut(key) {
            for secret in &task.secrets {
                if entry.text.contains(secret.as_str()) {
                    entry.text = entry.text.replace(secret.as_str(), "[MASKED]").into();
                }
            }
            task.logs.push(entry.clone());
        }
        if let Some(workflow) = self.workflows.get_mut(&key.workflow) {
            workflow.logs.push(entry.clone());
        }
        self.changed.send_replace(());
        entry
    }

    /// Ticks when a line or a status is new.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Where a reader of the `last` lines begins.
    pub(super) fn first_line(
        &self,
        workflow: &str,
        task: Option<&TaskKey>,
        last: Option<usize>,
    ) -> u64 {
        self.log(workflow, task).map_or(0, |(log, _)| log.first(last))
    }

    /// At most `max` lines, the number of the next, and whether none will come.
    pub(super) fn lines_from(
        &self,
        workflow: &str,
        task: Option<&TaskKey>,
        from: u64,
        max: usize,
    ) -> (Vec<LogEntry>, u64, bool) {
        let Some((log, ended)) = self.log(workflow, task) else { return (Vec::new(), from, true) };
        let (lines, next) = log.from(from, max);
        (lines, next, ended)
    }

    fn log(&self, workflow: &str, task: Option<&TaskKey>) -> Option<(&LogStream, bool)> {
        let whole = self.workflows.get(workflow)?;
        let ended = whole.status == WorkflowStatus::Completed;
        match task {
            None => Some((&whole.logs, ended)),
            Some(task) => {
                let task = self.tasks.get(task)?;
                Some((&task.logs, ended || task.status.is_finished()))
            }
        }
    }

    pub(crate) fn store_io(&mut self, key: &TaskKey, metric: TaskIo) {
        if let Some(workflow) = self.workflows.get_mut(&key.workflow) {
            if workflow.task_io.len() == TASK_IO_MAX {
                workflow.task_io.pop_front();
            }
            workflow.task_io.push_back(metric);
        }
    }

    pub(crate) fn store_times(
        &mut self,
        key: &TaskKey,
        change: impl FnOnce(&mut TaskTimes),
    ) -> TaskTimes {
        let Some(task) = self.tasks.get_mut(key) else { return TaskTimes::default() };
        change(&mut task.times);
        task.times.clone()
    }

    /// A member is ready. When `count` of them are (or, below 1, as many as are
    /// still active), all of them are told; the set stays, so a member that
    /// says it again makes all be told again.
    pub(crate) fn arrive(&mut self, key: &TaskKey, name: &str, count: i64) {
        let Some(task) = self.tasks.get(key) else { return };
        let group = task.identity.group.clone();
        let active = self.active(&key.workflow, &group);
        let Some(workflow) = self.workflows.get_mut(&key.workflow) else { return };
        let barrier = (group, name.to_owned());
        if workflow.barriers.len() >= BARRIERS_MAX && !workflow.barriers.contains_key(&barrier) {
            tracing::warn!(name, "ignores a barrier: the workflow has {BARRIERS_MAX} already");
            return;
        }
        let members = workflow.barriers.entry(barrier).or_default();
        members.insert(key.clone());
        let wanted = usize::try_from(count).ok().filter(|&count| count > 0).unwrap_or(active);
        if members.len() >= wanted {
            let members = members.clone();
            self.tell_barrier(members);
        }
    }

    /// What the service's worker does when a member has finished: it leaves the
    /// sets, and those who waited for nobody else are told.
    pub fn settle_barriers(&mut self, workflow: &str, group: &str) {
        let active = self.active(workflow, group);
        let Some(found) = self.workflows.get_mut(workflow) else { return };
        let mut complete = Vec::new();
        for ((of, _), members) in &mut found.barriers {
            if of == group {
                members.retain(|key| {
                    self.tasks.get(key).is_some_and(|task| !task.status.is_finished())
                });
                if !members.is_empty() && members.len() >= active {
                    complete.push(members.clone());
                }
            }
        }
        complete.into_iter().for_each(|members| self.tell_barrier(members));
    }

    /// What the service's worker does when it reschedules a member: everybody
    /// must arrive again.
    pub fn reset_barriers(&mut self, workflow: &str, group: &str) {
        if let Some(workflow) = self.workflows.get_mut(workflow) {
            workflow.barriers.retain(|(of, _), _| of != group);
        }
    }

    fn active(&self, workflow: &str, group: &str) -> usize {
        let of_group = self
            .tasks
            .values()
            .filter(|task| task.identity.workflow == workflow && task.identity.group == group);
        of_group.filter(|task| !task.status.is_finished()).count()
    }

    fn tell_barrier(&mut self, members: BTreeSet<TaskKey>) {
        for member in members {
            self.push_action(&member, Some(Action::Barrier));
        }
    }

    /// An action for the connection that has waited longest, or for the next
    /// one. `None` is an action whose value has expired: it drops the
    /// connection that gets it. False when the task is unknown or its queue is
    /// full.
    pub fn push_action(&mut self, task: &TaskKey, action: Option<Action>) -> bool {
        let Some(task) = self.tasks.get_mut(task) else { return false };
        let mut action = action;
        while let Some(waiter) = task.waiters.pop_front() {
            match waiter.send(action) {
                Ok(()) => return true,
                Err(back) => action = back,
            }
        }
        if task.actions.len() >= ACTIONS_MAX {
            return false;
        }
        task.actions.push_back(action);
        true
    }

    /// The next action of a task: the receiver gets it once there is one.
    pub(crate) fn await_action(&mut self, task: &TaskKey) -> oneshot::Receiver<Queued> {
        let (tx, rx) = oneshot::channel();
        if let Some(task) = self.tasks.get_mut(task) {
            match task.actions.pop_front() {
                Some(action) => {
                    let _ = tx.send(action);
                }
                None => {
                    task.waiters.retain(|waiter| !waiter.is_closed());
                    task.waiters.push_back(tx);
                }
            }
        }
        rx
    }
}
