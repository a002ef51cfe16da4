//! What the kernel knows about this process.

use rustix::param::{clock_ticks_per_second, page_size};

/// One look; what cannot be read is 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Process {
    /// Bytes.
    pub(super) resident: u64,
    /// Bytes.
    pub(super) address_space: u64,
    pub(super) threads: u64,
    pub(super) open_files: u64,
    /// Seconds after 1970.
    pub(super) start: f64,
}

impl Process {
    pub(super) fn look() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let machine = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let mut process = of_stat(&stat, boot_s(&machine));
        // The list itself is one of them.
        let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        process.open_files = files.saturating_sub(1) as u64;
        process
    }
}

/// Reads proc_pid_stat(5): the name is in brackets and may hold anything.
#[allow(clippy::cast_precision_loss, reason = "ticks stay far below 2^53")]
fn of_stat(stat: &str, boot_s: u64) -> Process {
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let fields: Vec<u64> =
        after_name.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    // Field 3 of the manual page is the first after the name.
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0);
    let ticks = clock_ticks_per_second().max(1) as f64;
    Process {
        threads: field(20),
        start: boot_s as f64 + field(22) as f64 / ticks,
        address_space: field(23),
        resident: field(24) * page_size() as u64,
        open_files: 0,
    }
}

fn boot_s(machine: &str) -> u64 {
    let line = machine.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Process, boot_s, of_stat};

    #[test]
    fn the_manual_s_fields_are_read() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 5 6 0 0 20 0 7 0 300 8192000 50 \
                    18446744073709551615";
        let process = of_stat(stat, 1000);
        assert_eq!((process.threads, process.address_space), (7, 8_192_000));
        assert_eq!(process.resident, 50 * rustix::param::page_size() as u64);
        assert!(process.start > 1000.0);
        assert_eq!(boot_s("cpu 1 2\nbtime 1700000000\n"), 1_700_000_000);
        assert_eq!(of_stat("", 0).threads, 0);
    }

    #[test]
    fn this_process_is_seen() {
        let process = Process::look();
        assert!(process.resident > 100_000 && process.threads > 0 && process.open_files > 2);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map(|since| since.as_secs_f64()).unwrap_or_default();
        assert!(process.start > now - 86_400.0 && process.start < now + 60.0);
    }
}
