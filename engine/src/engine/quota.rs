//! How many CPUs this process may use.

use std::fs;
use std::path::{Path, PathBuf};

/// CPUs by affinity and by the cgroups' quota (v2 and v1), rounded down, at
/// least 1.
pub(super) fn cpus() -> usize {
    let affinity = rustix::thread::sched_getaffinity(None)
        .map(|set| usize::try_from(set.count()).unwrap_or(1))
        .unwrap_or_else(|_| std::thread::available_parallelism().map_or(1, usize::from));
    let quota = cgroup_folders().iter().filter_map(|folder| quota_in(folder)).min();
    quota.map_or(affinity, |quota| affinity.min(quota)).max(1)
}

/// This process's groups and all above them, as mounted in most systems; a
/// container usually sees its own group as the root.
fn cgroup_folders() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut folders = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let root = match controllers {
            "" => "/sys/fs/cgroup".to_owned(),
            list if list.split(',').any(|one| one == "cpu") => format!("/sys/fs/cgroup/{list}"),
            _ => continue,
        };
        let mut at = PathBuf::from(path.trim_start_matches('/'));
        loop {
            folders.push(PathBuf::from(&root).join(&at));
            if !at.pop() {
                break;
            }
        }
    }
    folders
}

fn quota_in(folder: &Path) -> Option<usize> {
    if let Ok(text) = fs::read_to_string(folder.join("cpu.max")) {
        return quota_v2(&text);
    }
    let quota = fs::read_to_string(folder.join("cpu.cfs_quota_us")).ok()?;
    let period = fs::read_to_string(folder.join("cpu.cfs_period_us")).ok()?;
    whole_cpus(quota.trim(), period.trim())
}

fn quota_v2(text: &str) -> Option<usize> {
    let (quota, period) = text.trim().split_once(' ')?;
    whole_cpus(quota, period)
}

/// `None` without a limit (`max`, `-1`).
fn whole_cpus(quota: &str, period: &str) -> Option<usize> {
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    usize::try_from(quota.checked_div(period)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Lines as the kernel's cgroup-v2.rst and sched-bwc.rst show them.
    #[test]
    fn quotas_are_read_as_the_kernel_writes_them() {
        assert_eq!(quota_v2("max 100000\n"), None);
        assert_eq!(quota_v2("400000 100000\n"), Some(4));
        assert_eq!(quota_v2("50000 100000\n"), Some(0));
        assert_eq!(whole_cpus("-1", "100000"), None);
        assert_eq!(whole_cpus("1000000", "500000"), Some(2));
        assert_eq!(whole_cpus("1", "0"), None);
    }
}
