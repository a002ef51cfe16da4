//! The table's metrics as a page: labels in the table's order.

use osmo_protocol::exposition::{self, Page};

use super::table::{Metric, Reading};

/// Where a metric's rows go.
pub(super) struct Samples<'a> {
    metric: &'a Metric,
    to: exposition::Samples<'a>,
}

impl Samples<'_> {
    /// A sample; `values` are those of the metric's labels, in their order.
    pub(super) fn put(&mut self, values: &[&str], number: f64) {
        debug_assert_eq!(values.len(), self.metric.labels.len(), "{}", self.metric.name);
        let labels = self.metric.labels.iter().copied();
        self.to.put(labels.zip(values.iter().copied()), number);
    }

    /// A sample that is a whole number.
    #[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(super) fn count(&mut self, values: &[&str], number: u64) {
        self.put(values, number as f64);
    }
}

/// Every metric of `table`, with its samples.
pub(super) fn write(table: &[Metric], reading: &Reading) -> String {
    let mut page = Page::default();
    for metric in table {
        let to = page.metric(metric.name, metric.shape, metric.about);
        (metric.read)(reading, &mut Samples { metric, to });
    }
    page.into_text()
}
