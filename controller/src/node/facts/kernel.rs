//! The kernel and what runs on it.

use serde::Serialize;

use crate::node::root::Root;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Kernel {
    #[serde(skip)]
    pub(crate) hostname: String,
    /// `6.18.0-1-amd64`
    pub(crate) release: Option<String>,
    /// From `/etc/os-release`.
    pub(crate) os: Option<String>,
    /// What the kernel module of the driver says of itself.
    pub(crate) nvidia_module_version: Option<String>,
    /// GPUDirect Storage's module is loaded.
    pub(crate) nvidia_fs_loaded: bool,
    /// GPUDirect RDMA's module is loaded.
    pub(crate) nvidia_peermem_loaded: bool,
    /// `always`, `madvise` or `never`.
    pub(crate) transparent_hugepages: Option<String>,
}

pub(crate) fn read(root: &Root) -> Kernel {
    let modes = root.text("/sys/kernel/mm/transparent_hugepage/enabled");
    Kernel {
        hostname: hostname(root).unwrap_or_default(),
        release: root.text("/proc/sys/kernel/osrelease"),
        os: os(root),
        nvidia_module_version: root.text("/sys/module/nvidia/version"),
        nvidia_fs_loaded: root.exists("/sys/module/nvidia_fs"),
        nvidia_peermem_loaded: root.exists("/sys/module/nvidia_peermem"),
        transparent_hugepages: modes.as_deref().and_then(bracketed).map(str::to_owned),
    }
}

/// `/proc` tells everybody their own, which in a pod is the pod's.
fn hostname(root: &Root) -> Option<String> {
    let mounted = !root.is_live() && root.is_this_machine();
    let nodes = mounted.then(|| root.text("/etc/hostname")).flatten();
    nodes.filter(|name| !name.is_empty()).or_else(|| root.text("/proc/sys/kernel/hostname"))
}

fn os(root: &Root) -> Option<String> {
    let text = root.text("/etc/os-release")?;
    let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches('"').to_owned())
}

/// The chosen one of `always [madvise] never`.
pub(crate) fn bracketed(text: &str) -> Option<&str> {
    text.split_once('[')?.1.split_once(']').map(|(chosen, _)| chosen)
}
