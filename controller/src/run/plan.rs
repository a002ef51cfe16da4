//! A task of the workflow file → the [`Order`] of its pod.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::access::TASK_BUCKET;
use super::order::{Order, Settings};
use super::tree::Tree;
use crate::workflow;
use crate::workflow::model::{Group, Input, InputSource, Task, Workflow};
use crate::workflow::tokens::{self, TokenTable};

/// Variables of the host that a command sees; the rest stays outside, so that
/// runs repeat.
const HOST_VARIABLES: [&str; 5] = ["PATH", "HOME", "TERM", "LANG", "TRACEPARENT"];

/// What is the same for every task of a run.
#[derive(Debug)]
pub(super) struct Common {
    /// `<name>-<n>`.
    pub workflow_id: String,
    /// Whether the tree is bound at `/osmo`.
    pub namespace: bool,
    /// Whether the tree of a task outlives it.
    pub keep: bool,
    /// The local service.
    pub service: std::net::SocketAddr,
    /// Extra environment of the sidecar.
    pub sidecar_environment: Vec<(String, String)>,
    /// What the user set for every pod.
    pub settings: Settings,
}

/// Every URL of the workflow's users, tokens resolved.
pub(super) fn urls(workflow: &Workflow, workflow_id: &str) -> Vec<String> {
    let table = TokenTable { workflow_id: workflow_id.to_owned(), ..TokenTable::default() };
    let mut urls = Vec::new();
    for task in workflow.groups.iter().flat_map(|group| &group.tasks) {
        let task = tokens::resolve(task, &table);
        urls.extend(task.inputs.iter().filter_map(|input| match &input.source {
            InputSource::Url(url) => Some(url.text.clone()),
            InputSource::Task { .. } => None,
        }));
        urls.extend(task.outputs.iter().map(|output| output.url.text.clone()));
        urls.extend(task.checkpoints.iter().map(|checkpoint| checkpoint.url.text.clone()));
    }
    urls
}

/// The pod of `task`, in `tree`; files are placed there.
///
/// # Errors
/// A file cannot be placed, or cannot be shown to the command.
pub(super) fn order(
    common: &Common,
    whole: &Workflow,
    group: &Group,
    task: &Task,
    retry_id: u32,
    tree: &Tree,
) -> Result<Order> {
    let resolved = tokens::resolve(task, &token_table(common, task, tree));
    let environment = environment(common, &resolved, tree);
    Ok(Order {
        workflow_id: common.workflow_id.clone(),
        group: group.name.clone(),
        task: task.name.clone(),
        retry_id,
        inputs: inputs(&common.workflow_id, &resolved),
        outputs: outputs(&common.workflow_id, whole, group, &resolved),
        checkpoints: checkpoints(&resolved),
        rsync: rsync_found(),
        argv: workflow::argv(&resolved, &environment),
        environment,
        files: files(common, &resolved, tree)?,
        namespace: common.namespace,
        exec_timeout: whole.exec_timeout,
        service: common.service,
        sidecar_environment: common.sidecar_environment.clone(),
        settings: common.settings.clone(),
    })
}

/// Where the command sees a place of the tree.
fn seen(common: &Common, tree: &Tree, place: &str) -> String {
    if common.namespace { format!("/osmo/{place}") } else { tree.path(place).display().to_string() }
}

fn token_table(common: &Common, task: &Task, tree: &Tree) -> TokenTable {
    TokenTable {
        workflow_id: common.workflow_id.clone(),
        output: seen(common, tree, "data/output"),
        inputs: (0..task.inputs.len())
            .map(|index| seen(common, tree, &format!("data/input/{index}")))
            .collect(),
        hosts: vec![(task.name.clone(), "127.0.0.1".to_owned())],
    }
}

fn environment(common: &Common, task: &Task, tree: &Tree) -> Vec<(String, String)> {
    let base: Vec<(String, String)> = HOST_VARIABLES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .collect();
    let mut environment = workflow::environment(task, &base);
    environment.push(("OSMO_CONFIG_FILE_DIR".into(), seen(common, tree, "login/config")));
    if task.resources.gpu.unwrap_or(0) == 0 {
        environment.push(("NVIDIA_VISIBLE_DEVICES".into(), String::new()));
        environment.push(("CUDA_VISIBLE_DEVICES".into(), String::new()));
    }
    environment
}

fn task_url(workflow_id: &str, task: &str) -> String {
    format!("s3://{TASK_BUCKET}/{workflow_id}/{task}")
}

fn inputs(workflow_id: &str, task: &Task) -> Vec<String> {
    let item = |(index, input): (usize, &Input)| {
        let regex = &input.regex.text;
        match &input.source {
            InputSource::Task { workflow, name } => {
                let url = task_url(workflow.as_deref().unwrap_or(workflow_id), name);
                format!("task:{index},{url},{regex}")
            }
            InputSource::Url(url) => format!("url:{index},{},{regex}", url.text),
        }
    };
    task.inputs.iter().enumerate().map(item).collect()
}

/// In the order of the uploads: for later tasks, figures, then the user's URLs.
fn outputs(workflow_id: &str, workflow: &Workflow, group: &Group, task: &Task) -> Vec<String> {
    let url = task_url(workflow_id, &task.name);
    let mut outputs = Vec::new();
    if task.outputs.is_empty() || has_downstream(workflow, group) {
        outputs.push(format!("task:{url}"));
    }
    for kpi in &task.kpis {
        let path = &kpi.path.text;
        let folder =
            path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("/{folder}"));
        outputs.push(format!("kpi:{url}{folder},{path}"));
    }
    outputs.extend(
        task.outputs.iter().map(|output| format!("url:{},{}", output.url.text, output.regex.text)),
    );
    outputs
}

/// `path;url;seconds;regex`; without a regex it ends in `;`.
fn checkpoints(task: &Task) -> Vec<String> {
    let checkpoints = task.checkpoints.iter();
    checkpoints
        .map(|checkpoint| {
            format!(
                "{};{};{};{}",
                checkpoint.path.text,
                checkpoint.url.text,
                checkpoint.frequency.as_secs(),
                checkpoint.regex.text
            )
        })
        .collect()
}

/// The commands of a pod have this machine's programs.
fn rsync_found() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join("rsync").is_file())
}

fn has_downstream(workflow: &Workflow, group: &Group) -> bool {
    let index = workflow.groups.iter().position(|other| other.name == group.name);
    index.is_some_and(|index| workflow.groups.iter().any(|other| other.needs.contains(&index)))
}

fn files(common: &Common, task: &Task, tree: &Tree) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut placed = Vec::new();
    for (number, file) in task.files.iter().enumerate() {
        let at = PathBuf::from(&file.path.text);
        if !common.namespace {
            bail!(
                "task {} needs the file {}, and this machine refuses the mount namespace that would \
                 show it there: allow unprivileged user namespaces, or run as root",
                task.name,
                at.display()
            );
        }
        placed.push((at, tree.place(number, file.contents.as_bytes())?));
    }
    Ok(placed)
}

#[cfg(test)]
mod tests;
