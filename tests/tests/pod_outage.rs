//! A pod whose service goes away: what its lines and its end come to. The
//! service lives in this process, the pod's programs are real.

#![allow(clippy::unwrap_used)]

#[path = "pod_faults/pod.rs"]
mod pod;

use std::collections::BTreeSet;
use std::path::Path;

use osmo_controller::service::TaskStatus;
use pod::{Pod, code, lines_until, signal};
use rustix::process::Signal;

const NONE: [&str; 0] = [];

/// First occurrences only.
fn without_repetitions(lines: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    lines.iter().filter(|line| seen.insert((*line).clone())).cloned().collect()
}

#[tokio::test]
async fn no_line_is_lost_or_reordered_when_the_service_comes_and_goes() {
    let pod = Pod::new().await;
    let mut events = pod.service.subscribe();
    let mut ctrl = pod.ctrl(&["-logsPeriod", "1"]);
    // The gate keeps the command from ending before the outages have been.
    let gate = pod.path("gate");
    let script = format!(
        "seq 1 2000; for n in $(seq 2001 2400); do echo $n; sleep 0.005; done; \
         until [ -e {} ]; do sleep 0.01; done; seq 2401 6000",
        gate.display()
    );
    let mut exec = pod.exec(&script);
    let mut lines = Vec::new();
    lines_until(&mut events, &mut lines, "7").await;
    pod.service.kill_connections().await;
    lines_until(&mut events, &mut lines, "2005").await;
    // Killed and back: neither a close nor an answer.
    pod.service.pause().await;
    pod.service.resume().await.unwrap();
    lines_until(&mut events, &mut lines, "2200").await;
    pod.service.pause().await;
    // While it is away the command goes on, and ends.
    std::fs::write(&gate, "").unwrap();
    assert_eq!(code(&mut exec).await, Some(0));
    pod.service.resume().await.unwrap();
    lines_until(&mut events, &mut lines, "5000").await;
    pod.service.kill_connections().await;
    lines_until(&mut events, &mut lines, "6000").await;
    assert_eq!(code(&mut ctrl).await, Some(0));
    let expected: Vec<String> = (1..=6000).map(|number| number.to_string()).collect();
    assert!(without_repetitions(&lines) == expected, "got {} lines", lines.len());
    assert_eq!(pod.termination(), serde_json::json!({"code": 0}));
    pod.assert_over(0).await;
}

#[tokio::test]
async fn a_service_that_never_comes_is_21_when_the_time_is_up() {
    let pod = Pod::new().await;
    pod.service.pause().await;
    let mut exec = pod.exec("echo never");
    // No time at all: the first refusal is the last.
    let mut ctrl = pod.ctrl(&["-timeout", "0"]);
    assert_eq!(code(&mut ctrl).await, Some(21));
    // There was no start, and the sidecar has told why.
    assert_eq!(code(&mut exec).await, Some(0));
    let sentence = pod.message();
    let place = pod.service.address().to_string();
    for word in [place.as_str(), "-timeout", "Connection refused"] {
        assert!(sentence.contains(word), "no {word:?} in {sentence}");
    }
    pod.assert_over(21).await;
}

#[tokio::test]
async fn a_task_that_the_service_calls_finished_ends_at_once() {
    let pod = Pod::new().await;
    pod.service.set_status(&pod.key, TaskStatus::Completed);
    let mut exec = pod.exec("echo never");
    let mut ctrl = pod.ctrl(&NONE);
    assert_eq!(code(&mut ctrl).await, Some(20));
    assert_eq!(code(&mut exec).await, Some(0));
    assert!(pod.message().contains("finished"), "{}", pod.message());
    pod.assert_over(20).await;
}

#[tokio::test]
async fn an_agent_that_is_killed_is_23() {
    let pod = Pod::new().await;
    let mut events = pod.service.subscribe();
    let mut ctrl = pod.ctrl(&NONE);
    let mut exec = pod.exec("echo here; exec sleep 86399");
    lines_until(&mut events, &mut Vec::new(), "here").await;
    let command = children_of(exec.id().unwrap());
    exec.kill().await.unwrap();
    assert_eq!(code(&mut ctrl).await, Some(23));
    assert!(pod.message().contains("killed"), "{}", pod.message());
    // In a pod the container takes the command along; here the test does.
    for pid in command {
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).unwrap(),
            Signal::KILL,
        );
    }
    pod.assert_over(23).await;
}

/// Nobody is there to be told of the lines that made room for others.
#[tokio::test]
async fn lines_dropped_behind_a_service_that_stays_away_are_counted_in_the_message() {
    let pod = Pod::new().await;
    let mut events = pod.service.subscribe();
    let mut ctrl = pod.ctrl(&["-gracePeriod", "2", "-logsBufferSize", "1"]);
    let mut exec = pod.exec("echo here; exec sleep 86399");
    lines_until(&mut events, &mut Vec::new(), "here").await;
    pod.service.pause().await;
    signal(&ctrl, Signal::TERM);
    assert_eq!(code(&mut ctrl).await, Some(40));
    code(&mut exec).await;
    assert!(pod.summary().lines_dropped > 0, "{:?}", pod.summary());
    let (message, told) = (pod.message(), "lines were dropped while the service took none");
    assert!(message.contains(told), "{message}");
    pod.assert_over(40).await;
}

fn children_of(pid: u32) -> Vec<i32> {
    let list = Path::new("/proc").join(format!("{pid}/task/{pid}/children"));
    let text = std::fs::read_to_string(list).unwrap_or_default();
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}
