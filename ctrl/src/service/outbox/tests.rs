use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use osmo_protocol::logger::{
    ClientFrame, GroupMetricType, Line, LineType, Metric, Metrics, MetricsType,
};

use super::{BATCH, BYTES_MAX, Outbox};

fn line(text: &str) -> ClientFrame {
    ClientFrame::Line(Line {
        source: "t".into(),
        time: "2026-01-02T03:04:05.123456789Z".into(),
        text: text.into(),
        io_type: LineType::Stdout,
    })
}

fn metric() -> ClientFrame {
    ClientFrame::Metrics(Metrics {
        source: "t".into(),
        time: "2026-01-02T03:04:05.123456789Z".into(),
        io_type: MetricsType::Metrics,
        metric: Metric::GroupMetrics {
            retry_id: "0".into(),
            start_time: String::new(),
            end_time: String::new(),
            type_of_metrics: GroupMetricType::InputDownload,
        },
    })
}

fn fill(outbox: &Outbox, lines: std::ops::Range<u32>) {
    lines.for_each(|number| outbox.push(&line(&format!("<{number}>"))));
}

/// The numbers in the frames, `m` for a metric.
fn numbers(frames: &[String]) -> Vec<String> {
    let number = |frame: &String| {
        frame
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'))
            .map_or("m".into(), |n| n.0.to_owned())
    };
    frames.iter().map(number).collect()
}

fn is_ready(future: impl Future<Output = ()>) -> bool {
    matches!(pin!(future).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()))
}

#[test]
fn only_an_acknowledgement_removes() {
    let outbox = Outbox::new(100);
    fill(&outbox, 0..3);
    assert_eq!(numbers(&outbox.batch()), ["0", "1", "2"]);
    assert_eq!(outbox.batch(), [""; 0]);
    outbox.mark();
    fill(&outbox, 3..5);
    assert_eq!(numbers(&outbox.batch()), ["3", "4"]);
    assert_eq!(outbox.acknowledge(), 0);
    outbox.rewind(false);
    assert_eq!(numbers(&outbox.batch()), ["3", "4"], "what was covered is gone");
    assert_eq!(outbox.acknowledge(), 0);
    outbox.rewind(false);
    assert_eq!(numbers(&outbox.batch()), ["3", "4"], "an answer to nothing covers nothing");
}

#[test]
fn marks_are_answered_in_order() {
    let outbox = Outbox::new(100);
    for number in 0..3 {
        fill(&outbox, number..number + 1);
        outbox.batch();
        outbox.mark();
    }
    outbox.acknowledge();
    outbox.acknowledge();
    assert!(outbox.is_owed());
    outbox.rewind(false);
    assert!(!outbox.is_owed());
    assert_eq!(numbers(&outbox.batch()), ["2"]);
}

#[test]
fn a_full_outbox_drops_the_oldest_and_counts() {
    let outbox = Outbox::new(4);
    fill(&outbox, 0..4);
    assert_eq!(numbers(&outbox.batch()), ["0", "1", "2", "3"]);
    outbox.mark();
    fill(&outbox, 4..6);
    assert_eq!(numbers(&outbox.batch()), ["4", "5"]);
    assert_eq!(outbox.acknowledge(), 2);
    outbox.rewind(false);
    assert_eq!(numbers(&outbox.batch()), ["4", "5"], "the mark covers what it covered");
}

#[test]
fn bytes_are_bounded_too() {
    let outbox = Outbox::new(usize::MAX);
    let text = "x".repeat(32 << 10);
    for _ in 0..1000 {
        outbox.push(&line(&text));
    }
    assert!(outbox.lock().bytes <= BYTES_MAX + text.len() + 200);
    assert!(outbox.lock().dropped > 800);
}

#[test]
fn a_full_outbox_holds_the_patient_up() {
    let outbox = Outbox::new(2);
    fill(&outbox, 0..2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let _guard = runtime.as_ref().map(|runtime| runtime.enter());
    assert!(!is_ready(outbox.push_patiently(&line("<2>"))));
    outbox.batch();
    outbox.mark();
    outbox.acknowledge();
    assert!(is_ready(outbox.push_patiently(&line("<2>"))));
    assert_eq!(numbers(&outbox.batch()), ["2"]);
}

#[test]
fn suspicious_metrics_are_not_sent_again() {
    let outbox = Outbox::new(100);
    outbox.push(&line("<0>"));
    outbox.push(&metric());
    outbox.push(&line("<1>"));
    assert_eq!(numbers(&outbox.batch()), ["0", "m", "1"]);
    outbox.push(&metric());
    outbox.rewind(false);
    assert_eq!(numbers(&outbox.batch()), ["0", "m", "1", "m"]);
    outbox.rewind(false);
    outbox.lock().next = 3;
    outbox.rewind(true);
    assert_eq!(numbers(&outbox.batch()), ["0", "1", "m"], "the last one had not been sent");
}

#[test]
fn draining_ends_with_the_last_acknowledgement() {
    let outbox = Outbox::new(1000);
    assert!(is_ready(outbox.drained()));
    let count = u32::try_from(BATCH).unwrap_or(0) + 1;
    fill(&outbox, 0..count);
    assert!(!is_ready(outbox.drained()));
    assert_eq!(outbox.batch().len(), BATCH);
    assert!(is_ready(outbox.unsent()));
    assert_eq!(outbox.batch().len(), 1);
    assert_eq!(outbox.unmarked(), (count.into(), true));
    assert!(is_ready(outbox.unsent()), "a mark is due");
    outbox.mark();
    assert!(!is_ready(outbox.unsent()));
    assert!(!is_ready(outbox.drained()));
    outbox.acknowledge();
    assert!(is_ready(outbox.drained()));
}
