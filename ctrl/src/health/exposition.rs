//! The Prometheus text format, version 0.0.4.

use std::fmt::Write as _;

use super::table::{Metric, Reading};

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where a metric's rows go.
pub(super) struct Samples<'a> {
    metric: &'a Metric,
    text: &'a mut String,
}

impl Samples<'_> {
    /// A sample; `values` are those of the metric's labels, in their order.
    // Counts are far below 2^53.
    pub(super) fn put(&mut self, values: &[&str], number: f64) {
        debug_assert_eq!(values.len(), self.metric.labels.len(), "{}", self.metric.name);
        self.text.push_str(self.metric.name);
        let mut open = '{';
        for (label, value) in self.metric.labels.iter().zip(values) {
            let _ = write!(self.text, "{open}{label}=\"{}\"", escaped(value));
            open = ',';
        }
        if open == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {number}");
    }

    /// A sample that is a whole number.
    #[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(super) fn count(&mut self, values: &[&str], number: u64) {
        self.put(values, number as f64);
    }
}

/// Every metric of `table`, with its samples.
pub(super) fn write(table: &[Metric], reading: &Reading) -> String {
    let mut text = String::with_capacity(8 << 10);
    for metric in table {
        let about = metric.about.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(text, "# HELP {} {about}", metric.name);
        let _ = writeln!(text, "# TYPE {} {}", metric.name, metric.shape.name());
        (metric.read)(reading, &mut Samples { metric, text: &mut text });
    }
    text
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
