//! What /proc says of processes and of the machine.

use std::collections::BTreeSet;
use std::fs;

/// Clock ticks a second in /proc; fixed on Linux since 2.6.
const TICKS_PER_S: f64 = 100.0;

/// A process and all that it started, and they.
pub(crate) fn tree(root: u32) -> BTreeSet<u32> {
    let (mut found, mut open) = (BTreeSet::new(), vec![root]);
    while let Some(pid) = open.pop() {
        if found.insert(pid) {
            open.extend(threads(pid).into_iter().flat_map(|thread| {
                let path = format!("/proc/{pid}/task/{thread}/children");
                numbers(&fs::read_to_string(path).unwrap_or_default())
            }));
        }
    }
    found
}

/// The threads of a process; none when it is gone.
pub(crate) fn threads(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"));
    let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

fn numbers(text: &str) -> Vec<u32> {
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// User and system seconds of processes that live.
pub(crate) fn cpu_s(pids: &BTreeSet<u32>) -> f64 {
    let ticks = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat_ticks(&text)
    };
    pids.iter().filter_map(ticks).sum::<f64>() / TICKS_PER_S
}

/// utime and stime; the name may hold anything, so count from its end.
fn stat_ticks(text: &str) -> Option<f64> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some(ticks(11)? + ticks(12)?)
}

/// Seconds that all CPUs together were not idle.
pub(crate) fn machine_cpu_s() -> f64 {
    busy_ticks(&fs::read_to_string("/proc/stat").unwrap_or_default()) / TICKS_PER_S
}

/// The first line: user nice system idle iowait irq softirq steal.
fn busy_ticks(text: &str) -> f64 {
    let line = text.lines().next().unwrap_or_default();
    let fields = line.split_ascii_whitespace().skip(1).take(8).enumerate();
    fields
        .filter(|(at, _)| !matches!(at, 3 | 4))
        .filter_map(|(_, field)| field.parse::<f64>().ok())
        .sum()
}

/// Resident KiB of processes, summed.
pub(crate) fn rss_kib(pids: &BTreeSet<u32>) -> u64 {
    sum_kib(pids, "status", "VmRSS:")
}

/// The same, with shared pages counted once.
pub(crate) fn pss_kib(pids: &BTreeSet<u32>) -> u64 {
    sum_kib(pids, "smaps_rollup", "Pss:")
}

fn sum_kib(pids: &BTreeSet<u32>, file: &str, field: &str) -> u64 {
    let of = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    pids.iter().filter_map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Lines as proc(5) describes them.
    #[test]
    fn lines_of_the_kernel() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 9 9 20 0 1 0 5 6 7";
        assert_eq!(stat_ticks(stat), Some(300.0));
        assert_eq!(stat_ticks("7 (cut"), None);
        assert_eq!(busy_ticks("cpu  1 2 4 1000 1000 8 16 32 64 128\ncpu0 1\n"), 63.0);
    }

    #[test]
    fn this_process_is_in_its_tree() {
        let own = std::process::id();
        assert!(tree(own).contains(&own));
        assert!(rss_kib(&[own].into()) > 100);
        assert!(cpu_s(&[own].into()) >= 0.0);
        assert_eq!(rss_kib(&[u32::MAX].into()), 0);
    }
}
