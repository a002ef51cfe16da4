//! The report in Prometheus' text format: base units, one table of metrics.

/// The table of a kind of things: shape, name, help, and where the value is.
macro_rules! table {
    ($of:ty: $($shape:ident $name:literal $help:literal $value:expr;)*) => {
        const TABLE: &[$crate::node::metrics::Metric<$of>] = &[$($crate::node::metrics::Metric {
            name: $name,
            shape: osmo_protocol::exposition::Shape::$shape,
            help: $help,
            of: $value,
        }),*];
    };
}

mod dcgm;
mod gpu;
mod mig;
mod node;

use osmo_protocol::exposition::{self, Shape};

use super::report::Report;

/// One row of the table: every metric is one.
pub(super) struct Metric<T> {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) help: &'static str,
    pub(super) of: fn(&T) -> Option<f64>,
}

/// The whole page; `dcgm` adds the GPUs' values under DCGM's names.
pub(super) fn exposition(report: &Report, dcgm: bool) -> String {
    let mut page = Page::default();
    node::write(&mut page, report);
    gpu::write(&mut page, report);
    mig::write(&mut page, report);
    if dcgm {
        dcgm::write(&mut page, report);
    }
    page.0.into_text()
}

/// A page that grows.
#[derive(Default)]
pub(super) struct Page(exposition::Page);

impl Page {
    /// A metric with its samples; nothing where there is none.
    pub(super) fn family(
        &mut self,
        (name, shape, help): (&str, Shape, &str),
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let mut to = self.0.metric(name, shape, help);
        for (labels, value) in samples {
            to.put(labels.0.iter().map(|(name, value)| (*name, value.as_str())), value);
        }
    }
}

/// Names and values, in their order.
#[derive(Clone, Default)]
pub(super) struct Labels(Vec<(&'static str, String)>);

impl Labels {
    pub(super) fn of(pairs: &[(&'static str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect())
    }

    pub(super) fn with(&self, name: &'static str, value: &str) -> Self {
        let mut labels = self.clone();
        labels.0.push((name, value.to_owned()));
        labels
    }
}

// Counts and bytes of one machine stay far below 2^53.
fn exact(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}
