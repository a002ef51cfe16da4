//! Where data could be put: the mounts of disks and of memory, with what is
//! behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::kernel::bracketed;
use super::mounts::{self, Mount};
use crate::node::root::Root;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Scratch {
    pub(crate) path: String,
    /// `xfs`, `ext4`, `overlay`, `tmpfs`, …
    pub(crate) fs: String,
    /// `nvme`, `ssd`, `disk`, `raid`, `network`, `memory`, `overlay`, `virtual`
    pub(crate) kind: &'static str,
    pub(crate) device: String,
    /// `raid0`, and how many members.
    pub(crate) raid: Option<String>,
    pub(crate) raid_members: Option<usize>,
    /// Of the block device.
    pub(crate) scheduler: Option<String>,
    pub(crate) read_ahead_bytes: Option<u64>,
    /// Only of this machine.
    pub(crate) total_bytes: Option<u64>,
    /// Only of this machine.
    pub(crate) available_bytes: Option<u64>,
}

/// Mounts in the report: a node with a thousand pods has thousands.
const SCRATCH_MAX: usize = 32;
const DISKS: [&str; 6] = ["ext4", "xfs", "btrfs", "zfs", "f2fs", "ext3"];
const NETWORKS: [&str; 8] =
    ["nfs", "nfs4", "ceph", "lustre", "gpfs", "cifs", "fuse.weka", "wekafs"];

pub(crate) fn read(root: &Root) -> Vec<Scratch> {
    let mut seen = BTreeSet::new();
    let mounts = mounts::read(root);
    // The last mount at a place hides those before it.
    let seen_at: BTreeMap<&str, usize> =
        mounts.iter().enumerate().map(|(number, mount)| (mount.at.as_str(), number)).collect();
    let shown = mounts.iter().enumerate().filter(|(n, mount)| seen_at[mount.at.as_str()] == *n);
    let wanted =
        shown.map(|(_, mount)| mount).filter(|mount| is_wanted(mount) && !is_file(root, mount));
    // A file system that is mounted often (bind mounts of pods) counts once.
    let first = wanted.filter(|mount| mount.fs == "tmpfs" || seen.insert(mount.device.clone()));
    first.take(SCRATCH_MAX).map(|mount| scratch(root, mount)).collect()
}

fn is_wanted(mount: &Mount) -> bool {
    let writable = mount.options.split(',').any(|option| option == "rw");
    let memory = mount.fs == "tmpfs" && ["/dev/shm", "/tmp"].contains(&mount.at.as_str());
    let disk = DISKS.contains(&mount.fs.as_str()) || NETWORKS.contains(&mount.fs.as_str());
    writable && (disk || memory || (mount.fs == "overlay" && mount.at == "/"))
}

/// What runtimes bind into every container, from the node's disk.
const FILES: [&str; 4] =
    ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log"];

/// A dead network mount is not asked: the report would wait for it.
fn is_file(root: &Root, mount: &Mount) -> bool {
    let asked = !NETWORKS.contains(&mount.fs.as_str());
    FILES.contains(&mount.at.as_str()) || (asked && root.path(&mount.at).is_file())
}

fn scratch(root: &Root, mount: &Mount) -> Scratch {
    let block = block(root, mount);
    let queue =
        |what: &str| root.text(&format!("/sys/class/block/{}/queue/{what}", block.as_deref()?));
    let (total_bytes, available_bytes) = space(root, mount).unzip();
    Scratch {
        path: mount.at.clone(),
        fs: mount.fs.clone(),
        kind: kind(root, mount, block.as_deref()),
        device: mount.source.clone(),
        raid: md(root, block.as_deref(), "level"),
        raid_members: md(root, block.as_deref(), "raid_disks").and_then(|n| n.parse().ok()),
        scheduler: queue("scheduler")
            .map(|text| bracketed(&text).map_or(text.clone(), str::to_owned)),
        read_ahead_bytes: queue("read_ahead_kb")
            .and_then(|kib| Some(kib.parse::<u64>().ok()? * 1024)),
        total_bytes,
        available_bytes,
    }
}

/// The whole device behind a mount, by its name in `/sys/class/block`.
fn block(root: &Root, mount: &Mount) -> Option<String> {
    let name = root
        .link_name(&format!("/sys/dev/block/{}", mount.device))
        .or_else(|| mount.source.strip_prefix("/dev/").map(str::to_owned))?;
    if root.exists(&format!("/sys/class/block/{name}/queue")) {
        return Some(name);
    }
    // A partition: the device is the one whose name is the longest begin of it.
    let names = root.names("/sys/class/block");
    let whole = names.iter().filter(|whole| {
        name.starts_with(whole.as_str()) && root.exists(&format!("/sys/class/block/{whole}/queue"))
    });
    whole.max_by_key(|whole| whole.len()).cloned()
}

fn md(root: &Root, block: Option<&str>, what: &str) -> Option<String> {
    root.text(&format!("/sys/class/block/{}/md/{what}", block?))
}

fn kind(root: &Root, mount: &Mount, block: Option<&str>) -> &'static str {
    if mount.fs == "tmpfs" {
        return "memory";
    }
    if mount.fs == "overlay" {
        return "overlay";
    }
    if NETWORKS.contains(&mount.fs.as_str()) {
        return "network";
    }
    let Some(block) = block else { return "virtual" };
    if md(root, Some(block), "level").is_some() {
        return "raid";
    }
    if block.starts_with("nvme") {
        return "nvme";
    }
    match root.number(&format!("/sys/class/block/{block}/queue/rotational")) {
        Some(1) => "disk",
        Some(_) => "ssd",
        None => "virtual",
    }
}

/// Total and available bytes.
fn space(root: &Root, mount: &Mount) -> Option<(u64, u64)> {
    // A dead network mount would hold the report up.
    if !root.is_this_machine() || NETWORKS.contains(&mount.fs.as_str()) {
        return None;
    }
    let path = root.path(&mount.at);
    // Of the node's mounts a pod may see none but /proc and /sys.
    if !root.is_live() && device(&path)? != mount.device {
        return None;
    }
    let stat = rustix::fs::statvfs(&path).ok()?;
    Some((stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize))
}

/// As mountinfo writes it.
fn device(path: &Path) -> Option<String> {
    let device = rustix::fs::stat(path).ok()?.st_dev;
    Some(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
}
