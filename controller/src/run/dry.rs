//! `--dry-run`: the workflow as it would run, in the order in which it would.

use std::fmt::Write as _;

use crate::workflow::model::{InputSource, Task, Workflow};

/// One paragraph a task.
pub(super) fn text(workflow: &Workflow) -> String {
    let mut out = format!("workflow {}\n", workflow.name);
    for group in &workflow.groups {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "group {}", group.name);
        for needed in &group.needs {
            let _ = writeln!(out, "  after: group {}", workflow.groups[*needed].name);
        }
        for task in &group.tasks {
            write_task(&mut out, task);
        }
    }
    out.truncate(out.trim_end().len());
    out
}

fn write_task(out: &mut String, task: &Task) {
    let _ = writeln!(out, "  task {} (image {}, not used here)", task.name, task.image);
    let argv: Vec<&str> =
        task.command.iter().chain(&task.args).map(|word| word.text.as_str()).collect();
    let _ = writeln!(out, "    command: {argv:?}");
    for (index, input) in task.inputs.iter().enumerate() {
        let source = match &input.source {
            InputSource::Task { workflow: None, name } => format!("task {name}"),
            InputSource::Task { workflow: Some(workflow), name } => {
                format!("task {name} of {workflow}")
            }
            InputSource::Url(url) => url.text.clone(),
        };
        let _ = writeln!(out, "    input {index}: {source}{}", regex(&input.regex.text));
    }
    for output in &task.outputs {
        let _ = writeln!(out, "    output: {}{}", output.url.text, regex(&output.regex.text));
    }
}

fn regex(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" matching {text}") }
}
