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
    if report.bytes_resumed > 0 {
        let resumed = bytes(report.bytes_resumed);
        line.push_str(&format!("; {resumed} of an earlier run gone on with"));
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

/// The line at the end of a dry run.
pub(crate) fn rehearsal(verb: &str, report: &Report) -> String {
    let mut line = format!(
        "dry run: {}, {}, would be {verb}",
        files(report.files_planned),
        bytes(report.bytes_planned)
    );
    if report.files_skipped > 0 {
        line.push_str(&format!("; {} already there", report.files_skipped));
    }
    line
}

/// The line at the end of a deletion.
pub(crate) fn deleted(report: &Report) -> String {
    let mut line = format!("deleted {} in {:.1} s", files(report.files_deleted), report.duration_s);
    if report.failures_total > 0 {
        line.push_str(&format!("; {} failed", report.failures_total));
    }
    line
}
