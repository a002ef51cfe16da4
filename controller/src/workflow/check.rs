//! Rules that span the file: names that must differ, leads, the order of
//! groups, tokens that nothing resolves, keys without effect.

use std::collections::HashMap;

use super::diagnostic::Sink;
use super::model::{Group, InputSource, Workflow};
use super::read::form::{self, LABEL_REMEDY, LABELS_MAX, NAME_CHARS_MAX};
use super::text::yaml::{Entry, Node, Value};
use super::tokens;

/// Tasks of one workflow that a stock service takes.
const TASKS_STOCK_MAX: usize = 20;

/// Checks the model and fills in [`Group::needs`].
pub(super) fn check(workflow: &mut Workflow, sink: &mut Sink) {
    names(workflow, sink);
    leads(&workflow.groups, sink);
    let needs: Vec<Vec<usize>> =
        (0..workflow.groups.len()).map(|at| needs(&workflow.groups, at, sink)).collect();
    for (group, needs) in workflow.groups.iter_mut().zip(needs) {
        group.needs = needs;
    }
    labels(workflow, sink);
    warn_tokens(&workflow.groups, sink);
    let tasks: usize = workflow.groups.iter().map(|group| group.tasks.len()).sum();
    if tasks > TASKS_STOCK_MAX {
        let message =
            format!("{tasks} tasks: a service takes {TASKS_STOCK_MAX} unless set otherwise");
        sink.warn(None, "workflow", message, "");
    }
}

/// All names together, case and `_` folded; the automatic groups count.
fn names(workflow: &Workflow, sink: &mut Sink) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for group in &workflow.groups {
        let tasks = group.tasks.iter().map(|task| (&task.name, task.place));
        for (name, place) in tasks.chain([(&group.name, group.place)]) {
            if name.is_empty() || name == "-group" {
                continue;
            }
            let folded = name.to_lowercase().replace('_', "-");
            if let Some(line) = seen.get(&folded) {
                sink.error(
                    place,
                    "",
                    format!("several tasks/groups have the same name {name:?}"),
                    format!(
                        "the other stands in line {line}; case, - and _ make no difference, and a \
                         task under `tasks` also takes NAME-group"
                    ),
                );
            }
            seen.insert(folded, place.line);
        }
        let lone = group.tasks.len() == 1 && group.name == format!("{}-group", group.tasks[0].name);
        if lone && group.name.len() > NAME_CHARS_MAX && group.tasks[0].name.len() <= NAME_CHARS_MAX
        {
            sink.error(
                group.place,
                "",
                format!(
                    "the name is too long: its group {:?} has {} characters",
                    group.name,
                    group.name.len()
                ),
                format!("{NAME_CHARS_MAX} are allowed, so a task under `tasks` has at most 58"),
            );
        }
    }
}

fn leads(groups: &[Group], sink: &mut Sink) {
    for group in groups.iter().filter(|group| group.tasks.len() > 1) {
        let leads = group.tasks.iter().filter(|task| task.lead).count();
        if leads != 1 {
            sink.error(
                group.place,
                "",
                format!("group {} has {leads} leader(s), must have exactly one", group.name),
                "write `lead: true` in the task whose end is the group's end",
            );
        }
    }
}

/// The groups that the group at `at` waits for.
fn needs(groups: &[Group], at: usize, sink: &mut Sink) -> Vec<usize> {
    let mut found = Vec::new();
    for input in groups[at].tasks.iter().flat_map(|task| &task.inputs) {
        let InputSource::Task { workflow: None, name } = &input.source else { continue };
        let holds = |group: &Group| group.tasks.iter().any(|task| task.name == *name);
        match groups.iter().position(holds) {
            Some(upstream) if upstream < at => found.push(upstream),
            Some(upstream) => sink.error(
                input.place,
                "",
                format!(
                    "group {} requires input group {} before itself",
                    groups[at].name, groups[upstream].name
                ),
                "list a task above the ones that use its output",
            ),
            None => sink.error(
                input.place,
                "",
                format!("task input {name:?} does not exist"),
                "an input names a task of this file, letter by letter, or WORKFLOW_ID:TASK",
            ),
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn labels(workflow: &Workflow, sink: &mut Sink) {
    if workflow.labels.len() > LABELS_MAX {
        let message = format!("{} labels, {LABELS_MAX} are allowed", workflow.labels.len());
        sink.error(None, "workflow.labels", message, "remove some");
    }
}

/// Sets one `--label k=v`.
pub(super) fn set_label(workflow: &mut Workflow, key: &str, value: &str, sink: &mut Sink) {
    if let Some(fault) = form::label_fault(key, value) {
        sink.error(None, "", format!("--label {key}={value}: {fault}"), LABEL_REMEDY);
        return;
    }
    match workflow.labels.iter_mut().find(|(known, _)| known == key) {
        Some(known) => value.clone_into(&mut known.1),
        None => workflow.labels.push((key.to_owned(), value.to_owned())),
    }
}

fn warn_tokens(groups: &[Group], sink: &mut Sink) {
    for group in groups {
        let names: Vec<String> = group.tasks.iter().map(|task| task.name.clone()).collect();
        for task in &group.tasks {
            for text in tokens::texts(task) {
                for token in tokens::unresolved(&text.text, task, &names) {
                    let remedy = match token.as_bytes().get(2) {
                        Some(b'i') => "the task has no such input; positions count from 0",
                        Some(b'h') => "only tasks of the same group have a host name",
                        _ => "",
                    };
                    let message = format!("nothing replaces {token}, it stays as it is");
                    sink.warn(text.place, "", message, remedy);
                }
            }
        }
    }
}

/// Keys that are known and mean nothing on one machine.
const WITHOUT_EFFECT: &[&str] = &[
    "workflow.pool",
    "workflow.backend",
    "workflow.timeout.queue_timeout",
    "resources.*.platform",
    "resources.*.nodesExcluded",
    "resources.*.topology",
    "tasks[].resources",
    "tasks[].backend",
    "tasks[].cacheSize",
    "tasks[].privileged",
    "tasks[].hostNetwork",
];

/// Names each key without effect once, at its first place.
pub(super) fn warn_without_effect(root: &Node, sink: &mut Sink) {
    for pattern in WITHOUT_EFFECT {
        let mut hits = Vec::new();
        walk(root, "", &mut |path, entry| {
            if ends_with(path, pattern) {
                hits.push((entry.place, path.to_owned()));
            }
        });
        if let Some((place, path)) = hits.first() {
            sink.warn(*place, path, "this key has no effect on one machine", "");
        }
    }
}

fn walk(node: &Node, path: &str, each: &mut impl FnMut(&str, &Entry)) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                let path = format!("{path}.{}", entry.key);
                each(path.trim_start_matches('.'), entry);
                walk(&entry.node, &path, each);
            }
        }
        Value::List(items) => {
            for item in items {
                walk(item, &format!("{path}[]"), each);
            }
        }
        Value::Scalar(_) => {}
    }
}

/// Whether `path` is a place that `pattern` means, `*` standing for one name.
fn ends_with(path: &str, pattern: &str) -> bool {
    let above: &[&str] = match pattern.split('.').next() {
        Some("workflow") => &[""],
        Some("resources") => &["workflow."],
        _ => &["workflow.", "workflow.groups[]."],
    };
    above.iter().any(|prefix| {
        let Some(rest) = path.strip_prefix(prefix) else { return false };
        let mut given = rest.split('.');
        let mut wanted = pattern.split('.');
        loop {
            match (given.next(), wanted.next()) {
                (None, None) => return true,
                (Some(_), Some("*")) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    })
}
