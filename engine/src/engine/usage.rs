//! What this process has cost so far.

use rustix::time::{ClockId, clock_gettime};

use crate::report::Usage;

/// CPU seconds and the highest resident set of this process.
pub(super) fn usage() -> Usage {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let cpu_s = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    Usage { cpu_s, rss_bytes_peak: peak(&status).unwrap_or(0) }
}

fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
