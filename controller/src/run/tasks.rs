//! The tasks of a run, in the order of the file, with their attempts.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use osmo_protocol::events::SidecarEvent;
use tokio::sync::mpsc;

use super::access::{StoreAccess, TASK_BUCKET, buckets};
use super::exit;
use super::outcome::{Outcome, Verdict, judge};
use super::plan::{self, Common};
use super::pod::{self, End};
use super::report::{RunReport, Status, TaskReport};
use super::screen::Screen;
use super::stop::Stops;
use super::tree::{Secrets, Tree};
use crate::service::{LocalService, ServiceEvent, TaskIdentity, TaskStatus};
use crate::workflow::model::{Group, Task, Workflow};

/// A task that its exit actions reschedule gets this many attempts.
const ATTEMPTS_MAX: u32 = 3;

/// Sidecar events that the screen may be behind.
const EVENTS_BACKLOG: usize = 256;

/// The user stopped the run: 128 + SIGINT, as shells say it.
const CANCELED: u8 = 130;

/// What the tasks of a run share.
pub(super) struct Tasks<'a> {
    common: &'a Common,
    workflow: &'a Workflow,
    service: &'a LocalService,
    store: &'a StoreAccess,
    work: &'a Path,
    users_store_is_ours: bool,
}

impl<'a> Tasks<'a> {
    /// Tasks that run against the embedded store.
    pub(super) fn new(
        common: &'a Common,
        workflow: &'a Workflow,
        service: &'a LocalService,
        store: &'a StoreAccess,
        work: &'a Path,
    ) -> Self {
        Self { common, workflow, service, store, work, users_store_is_ours: true }
    }

    /// The workflow's URLs go to a real endpoint, with the environment's
    /// credentials.
    pub(super) fn use_real_endpoint(&mut self) {
        self.users_store_is_ours = false;
    }

    /// Runs all that can run.
    ///
    /// # Errors
    /// The machine would not give what a pod needs.
    pub(super) async fn run(
        &self,
        screen: &mut Screen,
        mut stops: Stops,
        began: Instant,
    ) -> Result<RunReport> {
        let mut report = RunReport {
            workflow_id: self.common.workflow_id.clone(),
            status: Status::Completed,
            code: 0,
            duration_s: 0.0,
            tasks: Vec::new(),
        };
        let mut completed = vec![false; self.workflow.groups.len()];
        for (index, group) in self.workflow.groups.iter().enumerate() {
            if group.needs.iter().any(|needed| !completed[*needed]) {
                screen.warn(&format!(
                    "group {} is not run: a group that it needs failed",
                    group.name
                ));
                continue;
            }
            let Some(task) = group.lead() else { continue };
            let ended = self.attempts(group, task, screen, &mut stops).await?;
            completed[index] = ended.status == Status::Completed;
            if !completed[index] && report.status == Status::Completed {
                report.status = ended.status;
                report.code = if ended.status == Status::FailedCanceled {
                    CANCELED
                } else {
                    exit::status(ended.code).max(1)
                };
            }
            let canceled = ended.status == Status::FailedCanceled;
            report.tasks.push(ended);
            if canceled {
                break;
            }
        }
        report.duration_s = began.elapsed().as_secs_f64();
        Ok(report)
    }

    async fn attempts(
        &self,
        group: &Group,
        task: &Task,
        screen: &mut Screen,
        stops: &mut Stops,
    ) -> Result<TaskReport> {
        let mut retry_id = 0;
        loop {
            let began = Instant::now();
            let (end, outputs) = self.attempt(group, task, retry_id, screen, stops).await?;
            let outcome = judge(&end, &task.exit_actions);
            let last = retry_id + 1 == ATTEMPTS_MAX;
            let status = match outcome.verdict {
                Verdict::Ended(status) => status,
                Verdict::Again if last => Status::Failed,
                Verdict::Again => {
                    screen.note(&format!("[{}] ended with {}: again", task.name, outcome.code));
                    retry_id += 1;
                    continue;
                }
            };
            return Ok(task_report(task, retry_id, status, outcome, end, outputs, began));
        }
    }

    async fn attempt(
        &self,
        group: &Group,
        task: &Task,
        retry_id: u32,
        screen: &mut Screen,
        stops: &mut Stops,
    ) -> Result<(End, Vec<String>)> {
        let identity = TaskIdentity {
            workflow: self.common.workflow_id.clone(),
            group: group.name.clone(),
            task: task.name.clone(),
            retry: retry_id,
            lead: true,
        };
        let key = identity.key();
        let refresh_token = self.service.add_task(identity);
        let secrets = Secrets {
            user_config: &self.user_config(),
            service_config: &self.store.config_yaml([TASK_BUCKET]),
            refresh_token: &refresh_token,
        };
        let tree = Tree::create(self.work.join(format!("{}.{retry_id}", task.name)), &secrets)?;
        let order = plan::order(self.common, self.workflow, group, task, retry_id, &tree)?;

        let (told, mut sidecar) = mpsc::channel(EVENTS_BACKLOG);
        let mut lines = self.service.subscribe();
        let end = {
            let pod = pod::run(&order, &tree, stops, told);
            watch(pod, &task.name, &mut lines, &mut sidecar, screen).await
        }
        .with_context(|| format!("task {}", task.name));
        // An agent that was killed could not end them itself.
        osmo_exec::orphans::end();
        let end = end?;
        let status =
            if end.command_code == Some(0) { TaskStatus::Completed } else { TaskStatus::Failed };
        self.service.set_status(&key, status);
        if !self.common.keep
            && let Err(error) = tree.remove()
        {
            screen.warn(&format!("cannot remove the task's tree: {error}"));
        }
        Ok((end, order.output_urls()))
    }

    fn user_config(&self) -> String {
        if !self.users_store_is_ours {
            return self.store.config_yaml([]);
        }
        let urls = plan::urls(self.workflow, &self.common.workflow_id);
        self.store.config_yaml(buckets(urls.iter().map(String::as_str)))
    }
}

/// Shows what happens until the pod has ended, and what it said last.
async fn watch(
    pod: impl Future<Output = Result<End>>,
    task: &str,
    lines: &mut mpsc::Receiver<ServiceEvent>,
    sidecar: &mut mpsc::Receiver<SidecarEvent>,
    screen: &mut Screen,
) -> Result<End> {
    let mut pod = std::pin::pin!(pod);
    let end = loop {
        tokio::select! {
            biased;
            Some(event) = lines.recv() => show(task, &event, screen),
            Some(event) = sidecar.recv() => screen.event(task, &event),
            end = &mut pod => break end,
        }
    };
    while let Ok(event) = lines.try_recv() {
        show(task, &event, screen);
    }
    screen.idle();
    end
}

fn show(task: &str, event: &ServiceEvent, screen: &Screen) {
    if let ServiceEvent::Line { line, .. } = event {
        screen.line(task, line.io_type, &line.text);
    }
}

fn task_report(
    task: &Task,
    retry_id: u32,
    status: Status,
    outcome: Outcome,
    end: End,
    outputs: Vec<String>,
    began: Instant,
) -> TaskReport {
    TaskReport {
        name: task.name.clone(),
        retry_id,
        status,
        code: outcome.code,
        message: if status == Status::Completed { String::new() } else { outcome.message },
        duration_s: began.elapsed().as_secs_f64(),
        init_s: end.init.as_secs_f64(),
        sidecar: end.summary.unwrap_or_default(),
        outputs,
    }
}
