//! Whether io_uring can be used here, and why not: as the engine itself finds
//! it, which is what counts.

use osmo_engine::{Engine, EngineConfig};
use serde::Serialize;

use crate::node::root::Root;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct IoUring {
    /// Absent where this process cannot tell it of the node.
    pub(crate) available: Option<bool>,
    pub(crate) reason: String,
    /// `kernel.io_uring_disabled`: 0 for all, 1 for a group, 2 for nobody.
    pub(crate) sysctl_disabled: Option<i64>,
    /// Seccomp's mode of the process that is looked at: 0 none, 2 a filter.
    pub(crate) seccomp_mode: Option<i64>,
}

const FOR_NOBODY: i64 = 2;

pub(crate) fn probe(root: &Root) -> IoUring {
    let status = root.text(&root.process("status")).unwrap_or_default();
    let seccomp = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    let sysctl_disabled = root.number("/proc/sys/kernel/io_uring_disabled");
    let (available, reason) = if root.is_live() {
        try_it()
    } else if sysctl_disabled == Some(FOR_NOBODY) {
        (Some(false), "kernel.io_uring_disabled is 2".to_owned())
    } else if root.is_this_machine() {
        (None, "this program's pod may be confined otherwise than the node".to_owned())
    } else {
        (None, "these are another machine's files: only a running kernel can tell".to_owned())
    };
    IoUring {
        available,
        reason,
        sysctl_disabled,
        seccomp_mode: seccomp.and_then(|mode| mode.trim().parse().ok()),
    }
}

fn try_it() -> (Option<bool>, String) {
    match Engine::start(EngineConfig::default()) {
        Ok(engine) => {
            let io = engine.io();
            (Some(io.driver == "uring"), io.reason.clone())
        }
        Err(error) => (Some(false), error.to_string()),
    }
}
