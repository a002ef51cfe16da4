//! The benchmark file that OSMO's own tools write after a transfer.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use osmo_engine::Report;
use serde::Serialize;

/// Which file name it gets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    Download,
    Upload,
}

#[derive(Debug, Serialize)]
struct Benchmark {
    start_time_ms: u64,
    end_time_ms: u64,
    duration_ms: u64,
    average_mbps: u64,
    total_bytes_transferred: u64,
    total_number_of_files: u64,
}

impl Benchmark {
    fn new(start_time_ms: u64, end_time_ms: u64, report: &Report) -> Self {
        let duration_ms = end_time_ms.saturating_sub(start_time_ms);
        // Megabits: bytes × 8 / 10⁶ over ms / 10³.
        let kilobits = report.bytes.saturating_mul(8) / 1_000;
        Self {
            start_time_ms,
            end_time_ms,
            duration_ms,
            average_mbps: kilobits.checked_div(duration_ms).unwrap_or(0),
            total_bytes_transferred: report.bytes,
            total_number_of_files: report.files,
        }
    }
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Writes the file into `folder`, which is created where it is missing.
pub(crate) fn write(
    folder: &Path,
    direction: Direction,
    start_ms: u64,
    report: &Report,
) -> std::io::Result<PathBuf> {
    let end_ms = now_ms();
    let verb = match direction {
        Direction::Download => "download",
        Direction::Upload => "upload",
    };
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{verb}_objects_{end_ms}.json"));
    let text = serde_json::to_string(&Benchmark::new(start_ms, end_ms, report))?;
    std::fs::write(&path, text)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // The literal example of OSMO's benchmark file.
    #[test]
    fn is_written_as_osmo_writes_it() {
        let report = Report { bytes: 1_000_000, files: 3, ..Report::default() };
        let benchmark = Benchmark::new(1_767_323_045_000, 1_767_323_046_000, &report);
        assert_eq!(
            serde_json::to_string(&benchmark).unwrap(),
            r#"{"start_time_ms":1767323045000,"end_time_ms":1767323046000,"duration_ms":1000,"average_mbps":8,"total_bytes_transferred":1000000,"total_number_of_files":3}"#
        );
    }

    #[test]
    fn an_instant_transfer_divides_by_nothing() {
        let report = Report { bytes: 1_000_000, files: 3, ..Report::default() };
        assert_eq!(Benchmark::new(5, 5, &report).average_mbps, 0);
    }
}
