//! A service that dies in the phases that `pod_faults.rs` and `pod_outage.rs`
//! have not, that falls silent without a close, or that reads nothing; the table
//! in `docs/OPERATIONS.md` names these tests.

#![allow(clippy::unwrap_used)]

#[path = "pod_faults/pod.rs"]
mod pod;

use std::collections::BTreeSet;
use std::time::Duration;

use osmo_controller::service::{ServiceEvent, TaskIdentity, TaskStatus};
use osmo_tests::wire::Wire;
use pod::{Pod, code, lines_until};
use tokio::process::Child;
use tokio::time::{sleep, timeout};

const OUTPUTS: [&str; 2] = ["-outputs", "task:s3://bkt/out"];

/// A sidecar whose way to the service is `wire`.
fn ctrl_over(pod: &Pod, wire: &Wire, more: &[&str]) -> Child {
    let port = wire.address().port().to_string();
    let mut args = vec!["-port", &port];
    args.extend(more);
    pod.ctrl(&args)
}

/// First occurrences, as numbers.
fn numbers(lines: &[String]) -> Vec<u32> {
    let mut seen = BTreeSet::new();
    let all = lines.iter().filter_map(|line| line.parse().ok());
    all.filter(|number| seen.insert(*number)).collect()
}

/// The sidecar waits for another member, who leaves while the service is away.
#[tokio::test]
async fn the_service_is_away_at_the_barrier() {
    let pod = Pod::new().await;
    let other = TaskIdentity {
        workflow: "wf-1".into(),
        group: "g".into(),
        task: "other".into(),
        retry: 0,
        lead: false,
    };
    let other_key = other.key();
    pod.service.add_task(other);
    let mut events = pod.service.subscribe();
    let mut ctrl = pod.ctrl(&["-barrier", "osmo-group-ready"]);
    let mut exec = pod.exec("echo ran");
    let asked = timeout(pod::WATCHDOG, async {
        while !matches!(events.recv().await, Some(ServiceEvent::Barrier { .. }) | None) {}
    });
    asked.await.expect("the barrier is asked for");
    pod.service.pause().await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(ctrl.try_wait().unwrap(), None);
    pod.service.set_status(&other_key, TaskStatus::Completed);
    pod.service.ledger().settle_barriers("wf-1", "g");
    pod.service.resume().await.unwrap();
    lines_until(&mut events, &mut Vec::new(), "ran").await;
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(0), Some(0)));
    pod.assert_over(0).await;
}

/// The inputs are there and nobody is there to be told: the command starts all
/// the same, and what it says is kept.
#[tokio::test]
async fn the_service_is_away_before_the_start() {
    let pod = Pod::new().await;
    pod.store.put("in/slow", vec![7; 4096]);
    let slow = osmo_tests::fault_server::Step::Slow(Duration::from_millis(900));
    for call in [osmo_tests::fault_server::Call::GetWhole, osmo_tests::fault_server::Call::GetRange]
    {
        pod.store.script(call, "slow", [slow.clone()]);
    }
    let mut events = pod.service.subscribe();
    let mut ctrl = pod.ctrl(&["-inputs", "task:0,s3://bkt/in,"]);
    let ran = pod.path("ran").display().to_string();
    let mut exec = pod.exec(&format!("seq 100; touch {ran}"));
    pod.until("the download has begun", |pod| !pod.store.seen().is_empty()).await;
    pod.service.pause().await;
    pod.until("the command has run", |pod| pod.path("ran").exists()).await;
    pod.service.resume().await.unwrap();
    let mut lines = Vec::new();
    lines_until(&mut events, &mut lines, "100").await;
    assert!(numbers(&lines).into_iter().eq(1..=100), "{lines:?}");
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(0), Some(0)));
    pod.assert_over(0).await;
}

/// All is done but for the last acknowledgement, which the service's death took
/// with it.
#[tokio::test]
async fn the_service_dies_before_it_acknowledges_the_last_lines() {
    let pod = Pod::new().await;
    let wire = Wire::to(pod.service.address()).await;
    let mut events = pod.service.subscribe();
    let mut ctrl = ctrl_over(&pod, &wire, &OUTPUTS);
    let (ready, gate) = (pod.path("ready"), pod.path("gate"));
    let script = format!(
        "echo begin; touch {}; until [ -e {} ]; do sleep 0.02; done; echo 1 > made; seq 500",
        ready.display(),
        gate.display()
    );
    let mut exec = pod.exec(&script);
    lines_until(&mut events, &mut Vec::new(), "begin").await;
    wire.hold();
    std::fs::write(&gate, "").unwrap();
    assert_eq!(code(&mut exec).await, Some(0));
    pod.until("the outputs are saved", |pod| pod.store.keys() == ["out/made"]).await;
    pod.service.kill_connections().await;
    wire.cut();
    wire.carry();
    let mut lines = Vec::new();
    lines_until(&mut events, &mut lines, "500").await;
    assert!(numbers(&lines).into_iter().eq(1..=500), "{} lines", lines.len());
    assert_eq!(code(&mut ctrl).await, Some(0));
    pod.assert_over(0).await;
}

/// Packets vanish: no close, no reset. Half a minute, as long as an
/// acknowledgement may take.
#[tokio::test]
async fn a_service_that_falls_silent_is_dialled_again() {
    let pod = Pod::new().await;
    let wire = Wire::to(pod.service.address()).await;
    let mut events = pod.service.subscribe();
    let mut ctrl = ctrl_over(&pod, &wire, &["-logsPeriod", "1"]);
    let gate = pod.path("gate");
    let script =
        format!("seq 1 1000; until [ -e {} ]; do sleep 0.02; done; seq 1001 2000", gate.display());
    let mut exec = pod.exec(&script);
    let mut lines = Vec::new();
    lines_until(&mut events, &mut lines, "1000").await;
    wire.swallow();
    std::fs::write(&gate, "").unwrap();
    lines_until(&mut events, &mut lines, "2000").await;
    assert!(numbers(&lines).into_iter().eq(1..=2000), "{} lines", lines.len());
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(0), Some(0)));
    pod.assert_over(0).await;
}

/// Beyond what the agent keeps for it the command waits, and memory stays.
#[tokio::test]
async fn a_service_that_reads_nothing_holds_the_command_up_and_loses_nothing() {
    const RESIDENT: &str = "process_resident_memory_bytes";
    const LINES: u32 = 60_000;
    let pod = Pod::new().await;
    let wire = Wire::to(pod.service.address()).await;
    let mut events = pod.service.subscribe();
    let health = pod.health();
    let mut ctrl = ctrl_over(&pod, &wire, &[&health[0], &health[1]]);
    let (gate, done) = (pod.path("gate"), pod.path("done"));
    // A quarter of a KiB each: more than the agent keeps unacknowledged.
    let script = format!(
        "echo begin; until [ -e {} ]; do sleep 0.02; done; \
         seq -f '%.0f {}' {LINES}; touch {}",
        gate.display(),
        "x".repeat(250),
        done.display()
    );
    let mut exec = pod.exec(&script);
    let mut lines = Vec::new();
    lines_until(&mut events, &mut lines, "begin").await;
    let before = pod.gauge(RESIDENT).await.unwrap();
    wire.hold();
    std::fs::write(&gate, "").unwrap();
    pod.until_gauge("osmo_outbox_bytes", |bytes| bytes > 1e6).await;
    sleep(Duration::from_secs(3)).await;
    assert!(!done.exists(), "nothing held it up");
    let held = pod.gauge(RESIDENT).await.unwrap();
    assert!(held - before < 16e6, "{before} bytes before, {held} held up");
    wire.carry();
    let last = format!("{LINES} {}", "x".repeat(250));
    lines_until(&mut events, &mut lines, &last).await;
    lines.iter_mut().for_each(|line| line.truncate(line.find(' ').unwrap_or(line.len())));
    assert!(numbers(&lines).into_iter().eq(1..=LINES), "{} lines", lines.len());
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(0), Some(0)));
    pod.assert_over(0).await;
}
