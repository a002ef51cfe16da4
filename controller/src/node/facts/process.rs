//! Names of the processes that use a GPU. NVML numbers them as the node does.

use osmo_nvml::Process;

use crate::node::root::Root;

/// The kernel's word for the node's own numbering (`PROC_PID_INIT_INO`).
const NODES_NUMBERS: &str = "pid:[4026531836]";

/// Fills in names; in a container that numbers processes otherwise a name would be
/// another process's.
pub(crate) fn name(root: &Root, processes: &mut [Process]) {
    let own = root.link_name("/proc/self/ns/pid");
    if root.is_live() && own.as_deref() != Some(NODES_NUMBERS) {
        return;
    }
    for process in processes {
        process.name = root
            .text(&format!("/proc/{}/comm", process.pid))
            .filter(|name| !name.is_empty())
            .map(|name| name.replace(char::is_control, "?"));
    }
}
