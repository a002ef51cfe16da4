//! What users ask about: a workflow with its groups and tasks, and the plugins.
//!
//! Keys and their order are the real service's. What one machine does not have
//! (a dashboard, a database's times, a cluster's names) is null, as it may be
//! there.

use super::folders::{RsyncFolder, allowed};
use super::http::Call;
use super::ledger::{Ledger, Task};
use super::refusal::Refusal;
use super::reply::{Reply, json};
use super::{Shared, TaskStatus, TaskTimes, WorkflowStatus};
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Nobody logs in to a machine of its own.
const USER: &str = "local";
/// Names of a pool and a backend that an OSMO without any would have.
const DEFAULT: &str = "default";

/// `GET /api/plugins/configs`, with the rates that OSMO has by default.
pub(crate) fn plugins(folders: &[RsyncFolder]) -> Reply {
    let allowed = allowed(folders);
    let text = format!(
        r#"{{"rsync":{{"enabled":true,"enable_telemetry":false,"read_bandwidth_limit":2621440,"write_bandwidth_limit":2621440,"allowed_paths":{allowed},"daemon_debounce_delay":30.0,"daemon_poll_interval":120.0,"daemon_reconcile_interval":60.0}}}}"#,
    );
    json(StatusCode::OK, text)
}

/// `GET /api/workflow/{name}`.
pub(crate) fn workflow(call: &Call, name: &str, shared: &Shared) -> Reply {
    let base = format!("http://{}", shared.address);
    let ledger = shared.ledger();
    let Some(mut told) = Workflow::of(name, &base, &ledger) else {
        return Refusal::unknown(name).reply();
    };
    if matches!(call.parameter("skip_groups"), Some("true" | "True" | "1")) {
        told.groups.clear();
    }
    json(StatusCode::OK, serde_json::to_string(&told).unwrap_or_default())
}

type Nothing = Option<()>;

#[derive(Serialize)]
struct Workflow {
    name: String,
    uuid: String,
    submitted_by: &'static str,
    cancelled_by: Nothing,
    spec: String,
    template_spec: String,
    logs: String,
    events: String,
    overview: String,
    parent_name: Nothing,
    parent_job_id: Nothing,
    dashboard_url: Nothing,
    grafana_url: Nothing,
    tags: [(); 0],
    submit_time: String,
    start_time: Option<String>,
    end_time: Option<String>,
    exec_timeout: Nothing,
    queue_timeout: Nothing,
    duration: Option<f64>,
    queued_time: f64,
    status: &'static str,
    outputs: &'static str,
    groups: Vec<Group>,
    pool: &'static str,
    backend: &'static str,
    app_owner: Nothing,
    app_name: Nothing,
    app_version: Nothing,
    plugins: Plugins,
    priority: &'static str,
    labels: BTreeMap<(), ()>,
    warnings: [(); 0],
}

#[derive(Serialize)]
struct Plugins {
    rsync: bool,
}

#[derive(Serialize)]
struct Group {
    name: String,
    status: &'static str,
    start_time: Option<String>,
    end_time: Option<String>,
    processing_start_time: Nothing,
    scheduling_start_time: Nothing,
    initializing_start_time: Nothing,
    remaining_upstream_groups: [(); 0],
    downstream_groups: [(); 0],
    failure_message: Nothing,
    tasks: Vec<Attempt>,
}

/// The last attempt of a task.
#[derive(Serialize)]
struct Attempt {
    name: String,
    retry_id: u32,
    status: &'static str,
    failure_message: Nothing,
    exit_code: Nothing,
    logs: String,
    error_logs: Nothing,
    processing_start_time: Nothing,
    scheduling_start_time: Nothing,
    initializing_start_time: Nothing,
    events: String,
    start_time: Option<String>,
    end_time: Option<String>,
    input_download_start_time: Option<String>,
    input_download_end_time: Option<String>,
    output_upload_start_time: Option<String>,
    dashboard_url: Nothing,
    pod_name: String,
    pod_ip: Nothing,
    task_uuid: String,
    node_name: Nothing,
    lead: bool,
}

impl Workflow {
    fn of(name: &str, base: &str, ledger: &Ledger) -> Option<Self> {
        let found = ledger.workflows.get(name)?;
        let overview = format!("{base}/api/workflow/{name}");
        let groups = groups(name, &overview, &found.life.uuid, ledger);
        let begun = (found.status != WorkflowStatus::Pending).then_some(found.life.began);
        let until = found.life.ended.unwrap_or_else(Timestamp::now);
        let failed =
            groups.iter().map(|group| group.status).find(|name| name.starts_with("FAILED"));
        let status = match found.status {
            WorkflowStatus::Pending => TaskStatus::Pending.name(),
            WorkflowStatus::Running => TaskStatus::Running.name(),
            WorkflowStatus::Completed => failed.unwrap_or(TaskStatus::Completed.name()),
        };
        Some(Self {
            name: name.to_owned(),
            uuid: found.life.uuid.clone(),
            submitted_by: USER,
            cancelled_by: None,
            spec: format!("{overview}/spec"),
            template_spec: format!("{overview}/spec?use_template=true"),
            logs: format!("{overview}/logs?last_n_lines=1000"),
            events: format!("{overview}/events"),
            overview,
            parent_name: None,
            parent_job_id: None,
            dashboard_url: None,
            grafana_url: None,
            tags: [],
            submit_time: time(found.life.began),
            start_time: begun.map(time),
            end_time: found.life.ended.map(time),
            exec_timeout: None,
            queue_timeout: None,
            duration: begun.map(|begun| until.duration_since(begun).as_secs_f64()),
            queued_time: 0.0,
            status,
            outputs: "",
            groups,
            pool: DEFAULT,
            backend: DEFAULT,
            app_owner: None,
            app_name: None,
            app_version: None,
            plugins: Plugins { rsync: true },
            priority: "NORMAL",
            labels: BTreeMap::new(),
            warnings: [],
        })
    }
}

/// The group that began last comes first: it is the one at work.
fn groups(workflow: &str, overview: &str, uuid: &str, ledger: &Ledger) -> Vec<Group> {
    // In the order of attempts, so that the last one stays.
    let mut latest: BTreeMap<(&str, &str), &Task> = BTreeMap::new();
    for (key, task) in &ledger.tasks {
        if key.workflow == workflow {
            latest.insert((&task.identity.group, &task.identity.task), task);
        }
    }
    let mut members: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
    for ((group, _), task) in latest {
        members.entry(group).or_default().push(task);
    }
    let mut ordered: Vec<_> = members.into_iter().collect();
    ordered.sort_by_key(|(_, tasks)| Reverse(tasks.iter().map(|task| task.life.began).max()));
    let told = |(name, tasks): (&str, Vec<&Task>)| group(name, &tasks, overview, uuid, ledger);
    ordered.into_iter().map(told).collect()
}

/// A group is where its lead is.
fn group(name: &str, tasks: &[&Task], overview: &str, uuid: &str, ledger: &Ledger) -> Group {
    let lead = tasks.iter().find(|task| task.identity.lead).or(tasks.first());
    let status = lead.map_or(TaskStatus::Pending, |lead| lead.status);
    let attempt = |task: &&Task| Attempt::of(task, overview, uuid, ledger);
    let attempts: Vec<Attempt> = tasks.iter().map(attempt).collect();
    let ends = tasks.iter().map(|task| task.life.ended.map(time)).collect::<Option<Vec<_>>>();
    Group {
        name: name.to_owned(),
        status: status.name(),
        start_time: attempts.iter().filter_map(|task| task.start_time.clone()).min(),
        end_time: ends.and_then(|ends| ends.into_iter().max()),
        processing_start_time: None,
        scheduling_start_time: None,
        initializing_start_time: None,
        remaining_upstream_groups: [],
        downstream_groups: [],
        failure_message: None,
        tasks: attempts,
    }
}

impl Attempt {
    fn of(task: &Task, overview: &str, workflow_uuid: &str, ledger: &Ledger) -> Self {
        let (name, retry) = (task.identity.task.clone(), task.identity.retry);
        let runs = task.status == TaskStatus::Running || task.status.is_finished();
        let which = format!("task_name={name}&retry_id={retry}");
        let TaskTimes {
            input_download_start_time,
            input_download_end_time,
            output_upload_start_time,
            ..
        } = ledger.times(&task.identity.key());
        let (pod, own) = (&workflow_uuid[..16], &task.life.uuid[..16]);
        Self {
            name,
            retry_id: retry,
            status: task.status.name(),
            failure_message: None,
            exit_code: None,
            logs: format!("{overview}/logs?last_n_lines=1000&{which}"),
            error_logs: None,
            processing_start_time: None,
            scheduling_start_time: None,
            initializing_start_time: None,
            events: format!("{overview}/events?{which}"),
            start_time: runs.then(|| time(task.life.began)),
            end_time: task.life.ended.map(time),
            input_download_start_time: input_download_start_time.map(iso),
            input_download_end_time: input_download_end_time.map(iso),
            output_upload_start_time: output_upload_start_time.map(iso),
            dashboard_url: None,
            pod_name: format!("{pod}-{own}"),
            pod_ip: None,
            task_uuid: task.life.uuid.clone(),
            node_name: None,
            lead: task.identity.lead,
        }
    }
}

/// UTC without a zone, as the database has it.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string()
}

fn iso(database: String) -> String {
    database.replacen(' ', "T", 1)
}
