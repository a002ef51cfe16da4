//! What the process may use as which the node is looked at: its control group,
//! version 1 or 2, with the narrowest limit on the way up to the root.

use serde::Serialize;

use super::cpu::count;
use super::mounts::{self, Mount};
use crate::node::root::Root;

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Cgroup {
    pub(crate) version: u32,
    pub(crate) path: String,
    #[serde(skip)]
    pub(crate) folder: String,
    /// CPUs' worth of time; absent without a quota.
    pub(crate) cpu_quota_cores: Option<f64>,
    /// `0-3`
    pub(crate) cpus: Option<String>,
    pub(crate) cpus_count: Option<u32>,
    /// Absent without a limit.
    pub(crate) memory_limit_bytes: Option<u64>,
    pub(crate) memory_high_bytes: Option<u64>,
    pub(crate) memory_used_bytes: Option<u64>,
    pub(crate) pids_max: Option<u64>,
}

/// Version 1 says "no limit" with the largest multiple of a page.
const UNLIMITED_V1: u64 = 1 << 62;

pub(crate) fn read(root: &Root) -> Option<Cgroup> {
    let mounts = mounts::read(root);
    let own = root.text(&root.process("cgroup"))?;
    let Some(mount) = mounts.iter().find(|mount| mount.fs == "cgroup2") else {
        return mounts.iter().any(|mount| mount.fs == "cgroup").then(|| v1(root, &mounts, &own));
    };
    // Where both are mounted, the version counts that has the limits.
    if mounts.iter().any(|mount| holds(mount, "memory") || holds(mount, "cpu")) {
        return Some(v1(root, &mounts, &own));
    }
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(v2(root, mount, path))
}

/// Whether version 1 has `controller` here: `/sys/fs/cgroup/cpu,cpuacct`.
fn holds(mount: &Mount, controller: &str) -> bool {
    let names = mount.at.rsplit('/').next().unwrap_or_default();
    mount.fs == "cgroup" && names.split(',').any(|name| name == controller)
}

/// The folder of `path` below `mount`: a container sees its own group as the
/// mount's root.
fn folder(mount: &Mount, path: &str) -> String {
    format!("{}{}", mount.at, within(mount, path)).trim_end_matches('/').to_owned()
}

/// `path` seen from the mount's root. The kernel writes both from where the reader's
/// own group is: `/../..` for what lies above.
fn within(mount: &Mount, path: &str) -> String {
    let rest = path.strip_prefix(mount.below.trim_end_matches('/')).unwrap_or(path);
    format!("/{}", rest.trim_start_matches('/'))
}

/// A group's name, from where it can be named.
fn name(mount: &Mount, path: &str) -> String {
    if path.starts_with("/..") { within(mount, path) } else { path.to_owned() }
}

/// `folder` and those above it, down to `mount`.
fn upwards<'a>(mount: &'a str, folder: &'a str) -> impl Iterator<Item = &'a str> {
    std::iter::successors(Some(folder), |folder| folder.rsplit_once('/').map(|(up, _)| up))
        .take_while(move |folder| folder.starts_with(mount) && !folder.is_empty())
}

fn v2(root: &Root, mount: &Mount, path: &str) -> Cgroup {
    let folder = folder(mount, path);
    let limit = |name: &str| -> Option<u64> {
        upwards(&mount.at, &folder)
            .filter_map(|folder| root.text(&format!("{folder}/{name}"))?.parse().ok())
            .min()
    };
    let quotas = upwards(&mount.at, &folder).filter_map(|folder| {
        let text = root.text(&format!("{folder}/cpu.max"))?;
        let (quota, period) = text.split_once(' ')?;
        Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
    });
    let cpu_quota_cores = quotas.reduce(f64::min);
    let cpus = root.text(&format!("{folder}/cpuset.cpus.effective"));
    Cgroup {
        version: 2,
        path: name(mount, path),
        cpu_quota_cores,
        cpus_count: cpus.as_deref().map(count),
        cpus,
        memory_limit_bytes: limit("memory.max"),
        memory_high_bytes: limit("memory.high"),
        memory_used_bytes: root
            .number(&format!("{folder}/memory.current"))
            .and_then(|bytes| u64::try_from(bytes).ok()),
        pids_max: limit("pids.max"),
        folder,
    }
}

fn v1(root: &Root, mounts: &[Mount], own: &str) -> Cgroup {
    let place = |controller: &str| -> Option<(String, String, String)> {
        let path = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let has = parts.next()?.split(',').any(|name| name == controller);
            parts.next().filter(|_| has)
        })?;
        let mount = mounts.iter().find(|mount| holds(mount, controller))?;
        Some((mount.at.clone(), folder(mount, path), name(mount, path)))
    };
    let limit = |controller: &str, name: &str| -> Option<u64> {
        let (mount, folder, _) = place(controller)?;
        upwards(&mount, &folder)
            .filter_map(|folder| root.text(&format!("{folder}/{name}"))?.parse().ok())
            .filter(|&limit: &u64| limit < UNLIMITED_V1)
            .min()
    };
    let quota = place("cpu").and_then(|(mount, folder, _)| {
        let quotas = upwards(&mount, &folder).filter_map(|folder| {
            let quota = root.number(&format!("{folder}/cpu.cfs_quota_us")).filter(|&q| q > 0)?;
            let period = root.number(&format!("{folder}/cpu.cfs_period_us")).filter(|&p| p > 0)?;
            Some(quota as f64 / period as f64)
        });
        quotas.reduce(f64::min)
    });
    let cpus = place("cpuset").and_then(|(_, folder, _)| {
        let of =
            |name: &str| root.text(&format!("{folder}/{name}")).filter(|list| !list.is_empty());
        of("cpuset.effective_cpus").or_else(|| of("cpuset.cpus"))
    });
    let used = place("memory").and_then(|(_, folder, _)| {
        u64::try_from(root.number(&format!("{folder}/memory.usage_in_bytes"))?).ok()
    });
    let (_, folder, path) = place("memory").or_else(|| place("cpu")).unwrap_or_default();
    Cgroup {
        version: 1,
        path,
        folder,
        cpu_quota_cores: quota,
        cpus_count: cpus.as_deref().map(count),
        cpus,
        memory_limit_bytes: limit("memory", "memory.limit_in_bytes"),
        memory_high_bytes: None,
        memory_used_bytes: used,
        pids_max: limit("pids", "pids.max"),
    }
}
