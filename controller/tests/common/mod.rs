//! What the workflow tests share: a file on disk, loaded.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part of this")]

use std::path::{Path, PathBuf};

use osmo_controller::workflow::model::{Task, Workflow};
use osmo_controller::workflow::{LoadOptions, Loaded, load};

/// Writes `text` as `job.yaml` into a folder of its own and loads it.
pub(crate) fn load_text_with(text: &str, options: &LoadOptions) -> Result<Loaded, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.yaml");
    std::fs::write(&path, text).unwrap();
    let prefix = format!("{}/", folder.path().display());
    load(&path, options).map_err(|found| {
        found.as_slice().iter().map(|one| one.to_string().replace(&prefix, "")).collect()
    })
}

/// [`load_text_with`] and no options.
pub(crate) fn load_text(text: &str) -> Result<Loaded, Vec<String>> {
    load_text_with(text, &LoadOptions::default())
}

/// The workflow, or a failure that shows every fault.
pub(crate) fn good(text: &str) -> Workflow {
    load_text(text).unwrap_or_else(|faults| panic!("{text}\n{}", faults.join("\n"))).workflow
}

/// The only task of a workflow.
pub(crate) fn only_task(text: &str) -> Task {
    let workflow = good(text);
    assert_eq!(workflow.groups.len(), 1);
    workflow.groups[0].tasks[0].clone()
}

/// A valid file whose only task has `keys` as further lines; the first of them is line 7.
pub(crate) fn with_task(keys: &str) -> String {
    let mut text = String::from(
        "workflow:\n  name: job\n  tasks:\n  - name: one\n    image: busybox\n    command: ['true']\n",
    );
    for line in keys.lines() {
        text.push_str("    ");
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// One of the five workflows of the format's description.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/workflow").join(name)
}
