#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use osmo_protocol::logger::{
    ClientFrame, GroupMetricType, Line, LineType, Metric, Metrics, MetricsType,
};

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{BATCH, BYTES_MAX, Outbox};

const LONG: std::time::Duration = std::time::Duration::from_secs(3600);

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
fn numbers(frames: &[Utf8Bytes]) -> Vec<String> {
    let number = |frame: &Utf8Bytes| {
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
    assert!(outbox.batch().is_empty());
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
    assert!(is_ready(outbox.ready(LONG)));
    assert_eq!(outbox.batch().len(), 1);
    assert_eq!(outbox.unmarked(), (count.into(), true));
    assert!(is_ready(outbox.ready(LONG)), "a mark is due");
    outbox.mark();
    assert!(!is_ready(outbox.ready(LONG)));
    assert!(!is_ready(outbox.drained()));
    outbox.acknowledge();
    assert!(is_ready(outbox.drained()));
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_when_it_is_full_or_its_period_is_over() {
    let outbox = Outbox::new(1000);
    fill(&outbox, 0..1);
    assert!(!is_ready(outbox.ready(LONG)));
    let begin = tokio::time::Instant::now();
    outbox.ready(LONG).await;
    assert!(begin.elapsed() >= LONG);
    assert_eq!(outbox.batch().len(), 1);
    fill(&outbox, 0..u32::try_from(BATCH).unwrap() - 1);
    assert!(!is_ready(outbox.ready(LONG)));
    fill(&outbox, 0..1);
    assert!(is_ready(outbox.ready(LONG)), "it is full");
    assert_eq!(outbox.batch().len(), BATCH);
    fill(&outbox, 0..1);
    outbox.push(&metric());
    assert!(is_ready(outbox.ready(LONG)), "a metric does not wait");
    assert_eq!(outbox.batch().len(), 2);
    fill(&outbox, 0..1);
    outbox.rewind(false);
    assert!(is_ready(outbox.ready(LONG)), "after a loss it is late already");
}

#[tokio::test]
async fn lines_of_the_agent_are_counted_once_they_are_stored_or_dropped() {
    let outbox = Outbox::new(3);
    let mut stored = outbox.stored();
    outbox.push_patiently(&line("<0>")).await;
    outbox.push(&line("ours"));
    outbox.push_patiently(&line("<1>")).await;
    outbox.batch();
    assert!(!stored.has_changed().unwrap(), "sent is not stored");
    outbox.mark();
    outbox.rewind(false);
    assert!(!stored.has_changed().unwrap(), "nor is lost");
    outbox.batch();
    outbox.mark();
    outbox.acknowledge();
    assert_eq!(*stored.borrow_and_update(), 2);
    outbox.push_patiently(&line("<2>")).await;
    fill(&outbox, 3..6);
    assert_eq!(*stored.borrow_and_update(), 3, "a drop is told");
}

#[test]
fn long_lines_are_marked_before_they_are_many() {
    let outbox = Outbox::new(10_000);
    let long = "x".repeat(32 << 10);
    for _ in 0..9 {
        outbox.push(&line(&long));
    }
    assert_eq!(outbox.unmarked(), (0, false));
    assert_eq!(outbox.batch().len(), 9);
    assert_eq!(outbox.unmarked(), (9, true), "288 KiB");
    outbox.mark();
    assert_eq!(outbox.unmarked(), (0, false));
    outbox.rewind(false);
    fill(&outbox, 0..1);
    assert_eq!(outbox.batch().len(), 10);
    assert!(outbox.unmarked().1, "they count again on another connection");
}

#[test]
fn what_fills_the_outbox_is_marked_once_it_is_sent() {
    let outbox = Outbox::new(100);
    fill(&outbox, 0..100);
    assert_eq!(outbox.batch().len(), 100);
    assert_eq!(outbox.unmarked(), (100, true), "nothing more can come before");
}

#[test]
fn a_metric_counts_as_sent_until_it_is_acknowledged() {
    let outbox = Outbox::new(100);
    outbox.push(&metric());
    assert!(!outbox.has_sent_metric());
    outbox.batch();
    assert!(outbox.has_sent_metric());
    outbox.mark();
    outbox.acknowledge();
    assert!(!outbox.has_sent_metric());
}
