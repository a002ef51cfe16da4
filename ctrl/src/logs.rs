//! Everything that is said about the task: by its command, and by us.

use std::sync::Arc;

use jiff::Timestamp;
use osmo_protocol::logger::{ClientFrame, Line, LineType, Metric, Metrics, MetricsType};

use crate::console::Console;
use crate::meters::Meters;
use crate::service::outbox::Outbox;

/// A way into the outbox; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    source: Arc<str>,
    outbox: Arc<Outbox>,
    console: Console,
    meters: Meters,
}

impl Log {
    pub(crate) fn new(source: &str, outbox: Arc<Outbox>, console: Console) -> Self {
        Self { source: source.into(), outbox, console, meters: Meters::new() }
    }

    pub(crate) fn console(&self) -> Console {
        self.console
    }

    /// What is counted, by everybody who has a log.
    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    /// A line as the service reads it, stamped now.
    pub(crate) fn frame(&self, io_type: LineType, text: &str) -> ClientFrame {
        ClientFrame::Line(Line {
            source: self.source.to_string(),
            time: time_of_line(Timestamp::now()),
            text: text.to_owned(),
            io_type,
        })
    }

    /// A line of our own: it never waits.
    pub(crate) fn say(&self, io_type: LineType, text: &str) {
        self.console.line(text);
        self.outbox.push(&self.frame(io_type, text));
    }

    /// A line of the agent: it waits for room, which slows the command down,
    /// and counts for [`Outbox::stored`].
    pub(crate) async fn relay(&self, io_type: LineType, text: &str) {
        self.outbox.push_patiently(&self.frame(io_type, text)).await;
    }

    /// A metric.
    pub(crate) fn metric(&self, metric: Metric) {
        self.outbox.push(&ClientFrame::Metrics(Metrics {
            source: self.source.to_string(),
            time: time_of_line(Timestamp::now()),
            io_type: MetricsType::Metrics,
            metric,
        }));
    }

    /// Asks for the group's barrier.
    pub(crate) fn barrier(&self, name: &str) {
        self.outbox.push(&ClientFrame::Barrier(osmo_protocol::logger::Barrier {
            name: name.to_owned(),
            count: -1,
            io_type: osmo_protocol::logger::BarrierType::Barrier,
        }));
    }
}

/// `2026-01-02T03:04:05.123456789Z`
fn time_of_line(time: Timestamp) -> String {
    format!("{time:.9}")
}

/// `2026-01-02 03:04:05.000`, UTC.
pub(crate) fn time_of_metric(time: Timestamp) -> String {
    let text = format!("{time:.3}");
    text.trim_end_matches('Z').replacen('T', " ", 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{time_of_line, time_of_metric};

    #[test]
    fn times_are_written_as_the_service_reads_them() {
        let time: jiff::Timestamp = "2026-01-02T03:04:05.12Z".parse().unwrap();
        assert_eq!(time_of_line(time), "2026-01-02T03:04:05.120000000Z");
        assert_eq!(time_of_metric(time), "2026-01-02 03:04:05.120");
        let whole: jiff::Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(time_of_line(whole), "2026-01-02T03:04:05.000000000Z");
        assert_eq!(time_of_metric(whole), "2026-01-02 03:04:05.000");
    }
}
