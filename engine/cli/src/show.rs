//! Numbers and reports as a person reads them.

use osmo_engine::Report;
use osmo_engine::units::bytes;

fn files(count: u64) -> String {
    format!("{count} file{}", if count == 1 { "" } else { "s" })
}

/// The line at the end.
pub(crate) fn summary(verb: &str, report: &Report) -> String {
    let rate = report.bytes as f64 / report.duration_s.max(1e-3);
    let mut line = format!(
        "{verb} {}, {}, in {:.1} s ({:.2} GiB/s)",
        files(report.files),
        bytes(report.bytes),
        report.duration_s,
        rate / f64::from(1 << 30),
    );
    let verified: u64 = report.verification.verified.values().sum();
    if verified > 0 {
        line.push_str(&format!("; {verified} verified"));
    }
    let counts = [
        (report.verification.unverifiable, "without a checksum in the store"),
        (report.files_skipped, "already there"),
        (report.retries, "attempts repeated"),
        (report.failures_total, "failed"),
    ];
    for (count, what) in counts {
        if count > 0 {
            line.push_str(&format!("; {count} {what}"));
        }
    }
    line
}
