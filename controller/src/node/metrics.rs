//! Prometheus' text format, version 0.0.4: base units, one table of metrics.

mod dcgm;
mod gpu;
mod node;

use std::fmt::Write as _;

use super::report::Report;

/// What a value does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
}

/// One row of the table: every metric is one.
pub(super) struct Metric<T> {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) of: fn(&T) -> Option<f64>,
}

/// The whole page; `dcgm` adds the GPUs' values under DCGM's names.
pub(super) fn exposition(report: &Report, dcgm: bool) -> String {
    let mut page = Page::default();
    node::write(&mut page, report);
    gpu::write(&mut page, report);
    if dcgm {
        dcgm::write(&mut page, report);
    }
    page.0
}

/// A page that grows.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    /// A metric with its samples; nothing where there is none.
    pub(super) fn family(
        &mut self,
        (name, kind, help): (&str, Kind, &str),
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(self.0, "{name}{} {value}", labels.0);
        }
    }
}

/// `{name="value",…}`, or nothing.
#[derive(Clone, Default)]
pub(super) struct Labels(String);

impl Labels {
    pub(super) fn of(pairs: &[(&str, &str)]) -> Self {
        pairs.iter().fold(Self::default(), |labels, (name, value)| labels.with(name, value))
    }

    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let begin = self.0.strip_suffix('}').map_or_else(|| "{".to_owned(), |b| format!("{b},"));
        Self(format!("{begin}{name}=\"{value}\"}}"))
    }
}
