//! What the sidecar itself costs.

use rustix::time::{ClockId, clock_gettime};

/// User and system CPU seconds of this process so far.
pub(crate) fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // Precise far beyond any uptime.
    #[allow(clippy::cast_precision_loss)]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}

/// Highest resident set of this process so far, bytes; 0 where it is unknown.
pub(crate) fn rss_bytes_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    kib_of(&status, "VmHWM:").unwrap_or(0) * 1024
}

fn kib_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    line[name.len()..].trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{cpu_s, kib_of, rss_bytes_peak};

    #[test]
    fn the_kernel_s_own_words_are_read() {
        let status = "Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t    5120 kB\n";
        assert_eq!(kib_of(status, "VmHWM:"), Some(5120));
        assert_eq!(kib_of("", "VmHWM:"), None);
        assert!(rss_bytes_peak() > 100_000);
        assert!(cpu_s() > 0.0);
    }
}
