//! What the runner of this machine does not do yet.

use std::path::Path;

use super::diagnostic::{Diagnostic, Diagnostics, Place, Sink};
use super::model::{Task, Workflow};

/// What `workflow` asks for that the runner must refuse (errors) or leaves
/// aside (warnings), each once.
///
/// The file is valid wherever this list is not empty: it runs on a service.
pub fn unsupported_here(workflow: &Workflow, file: &Path) -> Vec<Diagnostic> {
    let mut sink = Sink::new(file);
    for group in workflow.groups.iter().filter(|group| group.tasks.len() > 1) {
        sink.error(
            group.place,
            "",
            format!(
                "group {} has {} tasks; this runner runs groups of one task",
                group.name,
                group.tasks.len()
            ),
            "put each task into a group of its own, or submit the file to a service",
        );
    }
    let tasks = || workflow.groups.iter().flat_map(|group| &group.tasks);
    for task in tasks() {
        if let Some(place) = earlier_workflow(task) {
            let remedy = "use the `url` that the earlier run wrote to";
            sink.error(place, "", "this runner keeps no outputs of earlier workflows", remedy);
        }
    }
    for (key, uses) in LEFT_ASIDE {
        if let Some(task) = tasks().find(|task| uses(task)) {
            let message = format!("task {}: {key} has no effect in this runner", task.name);
            sink.warn(task.place, "", message, "");
        }
    }
    let found: Diagnostics = sink.finish();
    found.as_slice().to_vec()
}

type Uses = fn(&Task) -> bool;

const LEFT_ASIDE: &[(&str, Uses)] = &[
    ("credentials", |task| !task.credentials.is_empty()),
    ("volumeMounts", |task| !task.volume_mounts.is_empty()),
    ("resources.gpu", |task| task.resources.gpu.is_some_and(|gpus| gpus > 0)),
];

fn earlier_workflow(task: &Task) -> Option<Place> {
    use super::model::InputSource;
    task.inputs
        .iter()
        .find(|input| matches!(input.source, InputSource::Task { workflow: Some(_), .. }))
        .map(|input| input.place)
}
