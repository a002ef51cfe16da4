//! The most memory that a process has had, until it is gone.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const SAMPLE_EVERY: Duration = Duration::from_millis(20);
const MIB: f64 = 1024.0;

/// A thread that looks at `VmHWM`, which only grows: what is missed is what the
/// last few milliseconds of a process added.
pub(super) struct Peak(Arc<AtomicU64>);

impl Peak {
    pub(super) fn watch(pid: u32) -> Self {
        let most = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&most);
        std::thread::spawn(move || {
            while let Some(kib) = status_kib(pid, "VmHWM:") {
                seen.fetch_max(kib, Relaxed);
                std::thread::sleep(SAMPLE_EVERY);
            }
        });
        Self(most)
    }

    pub(super) fn mib(&self) -> f64 {
        self.0.load(Relaxed) as f64 / MIB
    }
}

/// Resident now.
pub(super) fn resident_mib(pid: u32) -> f64 {
    status_kib(pid, "VmRSS:").unwrap_or(0) as f64 / MIB
}

/// A zombie has no such lines.
fn status_kib(pid: u32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
