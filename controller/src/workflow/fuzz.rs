//! The task file's entry point for fuzzing; `osmo_engine::fuzz` has the others.

use std::path::Path;

use super::diagnostic::Sink;
use super::{DIAGNOSTICS_MAX, LoadOptions, build};

/// A workflow file of any text: it is refused with a sentence for each
/// fault, or each group has tasks and needs only groups before it.
///
/// # Panics
/// Where that does not hold: that is the finding.
pub fn task(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let path = Path::new("task.yaml");
    let mut sink = Sink::new(path);
    let built = build(&text, path, &LoadOptions::default(), &mut sink);
    let found = sink.finish();
    assert!(found.as_slice().len() <= DIAGNOSTICS_MAX);
    for fault in found.as_slice() {
        assert!(!fault.message.is_empty(), "{fault:?}");
        assert!(fault.place.is_none_or(|place| place.line > 0 && place.column > 0), "{fault:?}");
    }
    let Some(workflow) = built else {
        assert!(found.has_errors(), "refused without a reason");
        return;
    };
    assert!(!workflow.groups.is_empty());
    for (index, group) in workflow.groups.iter().enumerate() {
        assert!(!group.tasks.is_empty() && group.lead().is_some(), "{}", group.name);
        assert!(group.needs.iter().all(|needed| *needed < index), "{}", group.name);
    }
}
