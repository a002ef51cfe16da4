//! The table, from a record alone.

use super::case::{Bar, Measure, Record};
use crate::table::Spread;

/// What stands between the markers.
pub(crate) fn page(record: &Record) -> String {
    let here = &record.environment;
    let mut text = format!(
        "{} UTC, {}, {} CPUs ({}), {:.0} GiB; load before the start {:.2}. Loopback; release \
         builds; {} rounds in turns after one that does not count, at {} of the full size. \
         Medians (least–greatest).\n\n| | measured | bar | |\n|---|---|---|---|\n",
        here.date,
        here.kernel,
        here.cpus,
        here.cpu,
        here.memory_gib,
        here.load_before,
        record.rounds,
        record.scale,
    );
    record.cases.values().flatten().for_each(|measure| text.push_str(&row(measure)));
    text
}

/// One row: what, figure, bar, verdict.
pub(crate) fn row(measure: &Measure) -> String {
    let Some(spread) = Spread::of(measure.values.clone()) else { return String::new() };
    let figure = figure(spread, &measure.unit);
    let (bar, verdict) = match measure.bar {
        Some(bar) => (limit(bar, &measure.unit), verdict(bar, spread.median)),
        None => (String::new(), ""),
    };
    format!("| {} | {figure} | {bar} | {verdict} |\n", measure.what)
}

/// One measure for a person who waits.
pub(crate) fn sentence(measure: &Measure) -> String {
    match Spread::of(measure.values.clone()) {
        Some(spread) => format!("{}: {}", measure.what, figure(spread, &measure.unit)),
        None => format!("{}: nothing was measured", measure.what),
    }
}

fn verdict(bar: Bar, median: f64) -> &'static str {
    if bar.holds(median) { "holds" } else { "**missed**" }
}

fn limit(bar: Bar, unit: &str) -> String {
    match bar {
        Bar::AtMost(most) => format!("≤ {most} {unit}"),
        Bar::AtLeast(least) => format!("≥ {least} {unit}"),
    }
}

fn figure(spread: Spread, unit: &str) -> String {
    let digits = match spread.median.abs() {
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    if spread.least.to_bits() == spread.greatest.to_bits() {
        format!("{:.digits$} {unit}", spread.median)
    } else {
        format!("{} {unit}", spread.text(digits))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::case::Case;
    use super::*;
    use crate::record::Environment;

    // Medians and ratios by hand.
    #[test]
    fn a_table_by_hand() {
        let nowhere = std::path::Path::new("/nowhere");
        let mut record = Record::load(nowhere, Environment::default(), 3, 0.5);
        let ratio = Measure::ratio("echo", &[3.0, 8.0, 6.0], &[2.0, 4.0, 2.0]);
        let size = Measure::one("memory", "MiB", 12.0).bar(Bar::AtMost(12.0));
        record.put(Case::Terminal, vec![ratio.bar(Bar::AtMost(1.5)), size]);
        let text = page(&record);
        assert!(text.contains("| echo | 2.00 (1.50–3.00) × | ≤ 1.5 × | **missed** |"), "{text}");
        assert!(text.contains("| memory | 12.0 MiB | ≤ 12 MiB | holds |"), "{text}");
    }

    #[test]
    fn a_record_of_other_settings_is_not_mixed_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pod.json");
        let mut record = Record::load(&path, Environment::default(), 3, 1.0);
        record.put(Case::Init, vec![Measure::one("time", "ms", 1.0)]);
        record.write(&path).unwrap();
        assert_eq!(Record::load(&path, Environment::default(), 3, 1.0).cases.len(), 1);
        assert!(Record::load(&path, Environment::default(), 5, 1.0).cases.is_empty());
    }
}
