//! The `workflow` section: its own keys and its groups.

use std::path::Path;

use super::super::diagnostic::Sink;
use super::super::model::{Group, Resources, Task, Workflow};
use super::super::text::scalar::Scalar;
use super::super::text::yaml::{Node, Value};
use super::cursor::{Cursor, Fields};
use super::task::{Shared, task};
use super::{form, quantity};

const WORKFLOW_KEYS: &[&str] =
    &["name", "tasks", "groups", "resources", "timeout", "labels", "pool", "backend"];
const GROUP_KEYS: &[&str] = &["name", "tasks", "barrier", "ignoreNonleadStatus"];
const RESOURCE_KEYS: &[&str] =
    &["cpu", "gpu", "memory", "storage", "platform", "nodesExcluded", "topology"];

/// Entries of `workflow.resources` by name.
pub(super) struct ResourceMap(Vec<(String, Resources)>);

impl ResourceMap {
    pub(super) fn find(&self, name: &str) -> Option<&Resources> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, entry)| entry)
    }

    pub(super) fn names(&self) -> String {
        self.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Reads the tree whose only key is `workflow`.
pub(in super::super) fn workflow(root: &Node, folder: &Path, sink: &mut Sink) -> Option<Workflow> {
    let root = Cursor { node: root, path: String::new() };
    let at = root.fields(&["workflow"], sink)?.required("workflow", sink)?;
    let fields = at.fields(WORKFLOW_KEYS, sink)?;
    let name = fields.required_text("name", sink);
    form::name(&name, "workflow.name", sink);
    for unused in ["pool", "backend"] {
        let _ = fields.get(unused).and_then(|at| at.text(sink));
    }
    let resources = resource_map(&fields, sink);
    let shared = Shared { folder, resources: &resources };
    let (exec_timeout, queue_timeout) = timeouts(&fields, sink);
    Some(Workflow {
        name: name.text,
        groups: groups(&fields, &shared, sink),
        exec_timeout,
        queue_timeout,
        labels: labels(&fields, sink),
    })
}

fn groups(fields: &Fields<'_>, shared: &Shared<'_>, sink: &mut Sink) -> Vec<Group> {
    let tasks = fields.items("tasks", sink);
    let groups = fields.items("groups", sink);
    if !tasks.is_empty() && !groups.is_empty() {
        sink.error(
            fields.place_of("groups"),
            "workflow.groups",
            "cannot use both tasks and groups",
            "put each task into a group, or drop the groups",
        );
    }
    if tasks.is_empty() && groups.is_empty() {
        sink.error(
            fields.place,
            "workflow",
            "need at least one group or task",
            "add `tasks:` with one entry",
        );
    }
    let mut all: Vec<Group> =
        tasks.iter().filter_map(|at| task(at, shared, sink)).map(own_group).collect();
    all.extend(groups.iter().filter_map(|at| group(at, shared, sink)));
    all
}

/// A task under `tasks` is the lead of a group of its own.
fn own_group(task: Task) -> Group {
    Group {
        name: format!("{}-group", task.name),
        barrier: true,
        ignore_nonlead_status: true,
        needs: Vec::new(),
        place: task.place,
        tasks: vec![Task { lead: true, ..task }],
    }
}

fn group(at: &Cursor<'_>, shared: &Shared<'_>, sink: &mut Sink) -> Option<Group> {
    let fields = at.fields(GROUP_KEYS, sink)?;
    let name = fields.required_text("name", sink);
    form::name(&name, &format!("{}.name", at.path), sink);
    let items = fields.required("tasks", sink).map(|at| at.items(sink)).unwrap_or_default();
    let mut tasks: Vec<Task> = items.iter().filter_map(|at| task(at, shared, sink)).collect();
    if items.is_empty() {
        at.error(sink, "at least one task is needed".to_owned(), "add an entry under `tasks:`");
    }
    if let [only] = tasks.as_mut_slice() {
        only.lead = true;
    }
    Some(Group {
        name: name.text,
        tasks,
        barrier: fields.boolean("barrier", true, sink),
        ignore_nonlead_status: fields.boolean("ignoreNonleadStatus", true, sink),
        needs: Vec::new(),
        place: at.place(),
    })
}

fn timeouts(
    fields: &Fields<'_>,
    sink: &mut Sink,
) -> (Option<std::time::Duration>, Option<std::time::Duration>) {
    let Some(at) = fields.get("timeout") else { return (None, None) };
    let Some(timeout) = at.fields(&["exec_timeout", "queue_timeout"], sink) else {
        return (None, None);
    };
    let mut read = |key: &str| {
        timeout
            .get(key)
            .filter(|at| !at.is_null())
            .and_then(|at| quantity::duration(&at, true, sink))
            .filter(|limit| !limit.is_zero())
    };
    (read("exec_timeout"), read("queue_timeout"))
}

fn labels(fields: &Fields<'_>, sink: &mut Sink) -> Vec<(String, String)> {
    let Some(at) = fields.get("labels") else { return Vec::new() };
    let mut all = Vec::new();
    for (entry, value) in at.entries(sink) {
        if let Value::Scalar(Scalar::Text(text)) = &value.node.value {
            form::label(&value, &entry.key, text, sink);
            all.push((entry.key.clone(), text.clone()));
        } else {
            let message = format!("labels must be strings, found {}", value.node.kind());
            value.error(sink, message, "put the value in quotes");
        }
    }
    all
}

fn resource_map(fields: &Fields<'_>, sink: &mut Sink) -> ResourceMap {
    let Some(at) = fields.get("resources") else {
        return ResourceMap(vec![("default".to_owned(), Resources::default())]);
    };
    let entries = at.entries(sink);
    ResourceMap(
        entries
            .into_iter()
            .map(|(entry, at)| (entry.key.clone(), resource(&at, sink).unwrap_or_default()))
            .collect(),
    )
}

fn resource(at: &Cursor<'_>, sink: &mut Sink) -> Option<Resources> {
    let fields = at.fields(RESOURCE_KEYS, sink)?;
    let given = |key: &str| fields.get(key).filter(|at| !at.is_null());
    let resources = Resources {
        cpu: given("cpu").and_then(|at| at.whole(sink)).filter(|cpu| *cpu > 0),
        gpu: given("gpu").and_then(|at| at.whole(sink)),
        memory_bytes: given("memory").and_then(|at| quantity::bytes(&at, sink)),
        storage_bytes: given("storage").and_then(|at| quantity::bytes(&at, sink)),
        platform: given("platform").and_then(|at| at.text(sink)).map(|text| text.text),
    };
    let _ = fields.texts("nodesExcluded", sink);
    for item in fields.items("topology", sink) {
        topology(&item, sink);
    }
    Some(resources)
}

fn topology(at: &Cursor<'_>, sink: &mut Sink) {
    let Some(fields) = at.fields(&["key", "group", "requirementType"], sink) else { return };
    let _ = fields.required_text("key", sink);
    let _ = fields.text_or_empty("group", sink);
    if let Some(at) = fields.get("requirementType") {
        let kind = at.text(sink).map(|text| text.text).unwrap_or_default();
        if kind != "required" && kind != "preferred" {
            let _: Option<()> = at.expected(sink, "required or preferred", "");
        }
    }
}
