//! The pod's faults, phase by phase; the table in `docs/OPERATIONS.md` names
//! these tests. Each ends with the code that the table says, and with no
//! process, connection or unfinished upload left.

#![allow(clippy::unwrap_used)]

#[path = "pod_faults/codes.rs"]
mod codes;
#[path = "pod_faults/half_open.rs"]
mod half_open;
#[path = "pod_faults/pod.rs"]
mod pod;

use std::collections::BTreeSet;
use std::time::Duration;

use osmo_controller::service::ServiceConfig;
use osmo_tests::fault_server::{Call, Step};
use pod::{Pod, code, lines_until, signal};
use rustix::process::Signal;

const SLOW: Step = Step::Slow(Duration::from_millis(900));
const OUTPUTS: [&str; 2] = ["-outputs", "task:s3://bkt/out"];
const INPUTS: [&str; 2] = ["-inputs", "task:0,s3://bkt/in,"];

#[tokio::test]
async fn the_service_is_away_in_init() {
    let pod = Pod::new().await;
    pod.service.pause().await;
    let mut ctrl = pod.ctrl(&OUTPUTS);
    let mut exec = pod.exec("echo done > done");
    pod.until("the agent has been heard", |pod| !pod.path("socket/handoff").exists()).await;
    pod.service.resume().await.unwrap();
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(0), Some(0)));
    assert_eq!(pod.store.keys(), ["out/done"]);
    pod.assert_over(0).await;
}

#[tokio::test]
async fn the_service_is_away_in_a_download() {
    let pod = Pod::new().await;
    pod.store.put("in/slow", vec![7; 4096]);
    for call in [Call::GetWhole, Call::GetRange] {
        pod.store.script(call, "slow", [SLOW]);
    }
    let mut ctrl = pod.ctrl(&INPUTS);
    let mut exec = pod.exec("test $(wc -c < ../input/0/slow) = 4096");
    pod.until("the download has begun", |pod| {
        pod.has_seen(Call::GetWhole, "slow") || pod.has_seen(Call::GetRange, "slow")
    })
    .await;
    pod.outage().await;
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(0), Some(0)));
    pod.assert_over(0).await;
}

#[tokio::test]
async fn the_service_is_away_in_an_upload() {
    let pod = Pod::new().await;
    pod.store.script(Call::Put, "slow", [SLOW]);
    let mut ctrl = pod.ctrl(&OUTPUTS);
    let mut exec = pod.exec("echo 1 > slow");
    pod.until("the upload has begun", |pod| pod.has_seen(Call::Put, "slow")).await;
    pod.outage().await;
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(0), Some(0)));
    assert_eq!(pod.store.keys(), ["out/slow"]);
    let logs = pod.service.logs(&pod.key);
    let told = logs.iter().filter(|entry| entry.text.contains("All Outputs Uploaded")).count();
    assert!(told >= 1, "{logs:?}");
    pod.assert_over(0).await;
}

/// Each dial needs a token of its own.
#[tokio::test]
async fn a_token_that_expires_at_once_is_asked_for_again() {
    let config = ServiceConfig { token_life: Duration::from_secs(1), ..ServiceConfig::default() };
    let pod = Pod::with(config).await;
    let mut events = pod.service.subscribe();
    let mut ctrl = pod.ctrl::<&str>(&[]);
    let script = format!(
        "echo a; until [ -e {0} ]; do sleep 0.05; done; echo b",
        pod.path("gate").display()
    );
    let mut exec = pod.exec(&script);
    lines_until(&mut events, &mut Vec::new(), "a").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    pod.service.kill_connections().await;
    std::fs::write(pod.path("gate"), "").unwrap();
    lines_until(&mut events, &mut Vec::new(), "b").await;
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(0), Some(0)));
    pod.assert_over(0).await;
}

#[tokio::test]
async fn sigterm_in_init_is_40_and_the_agent_leaves_quietly() {
    let pod = Pod::new().await;
    pod.service.pause().await;
    let mut ctrl = pod.ctrl(&["-gracePeriod", "2"]);
    let mut exec = pod.exec("echo never > never");
    pod.until("the agent has been heard", |pod| !pod.path("socket/handoff").exists()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    signal(&ctrl, Signal::TERM);
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(40), Some(0)));
    assert!(pod.message().contains("before the command started"), "{}", pod.message());
    assert!(!pod.path("output/never").exists());
    pod.assert_over(40).await;
}

#[tokio::test]
async fn an_agent_killed_in_a_download_is_23() {
    let pod = Pod::new().await;
    pod.store.put("in/stuck", b"two".to_vec());
    for call in [Call::GetWhole, Call::GetRange] {
        pod.store.script(call, "stuck", [Step::Stall]);
    }
    let mut ctrl = pod.ctrl(&INPUTS);
    let mut exec = pod.exec("true");
    pod.until("the download has begun", |pod| {
        pod.has_seen(Call::GetWhole, "stuck") || pod.has_seen(Call::GetRange, "stuck")
    })
    .await;
    exec.kill().await.unwrap();
    assert_eq!(code(&mut ctrl).await, Some(23));
    assert!(pod.message().contains("killed"), "{}", pod.message());
    pod.assert_over(23).await;
}

#[tokio::test]
async fn an_agent_killed_in_an_upload_changes_nothing() {
    let pod = Pod::new().await;
    pod.store.script(Call::Put, "slow", [SLOW]);
    let mut ctrl = pod.ctrl(&OUTPUTS);
    let mut exec = pod.exec("echo 1 > slow");
    pod.until("the upload has begun", |pod| pod.has_seen(Call::Put, "slow")).await;
    let _ = exec.kill().await;
    assert_eq!(code(&mut ctrl).await, Some(0));
    assert_eq!(pod.store.keys(), ["out/slow"]);
    pod.assert_over(0).await;
}

#[tokio::test]
async fn a_command_killed_by_sigkill_has_its_outputs_saved() {
    let pod = Pod::new().await;
    let mut ctrl = pod.ctrl(&OUTPUTS);
    let mut exec = pod.exec("echo 1 > made; kill -9 $$");
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(0), Some(137)));
    assert_eq!(pod.store.keys(), ["out/made"]);
    pod.assert_over(0).await;
}

/// The name goes, the connection stays.
#[tokio::test]
async fn a_socket_removed_under_way_is_not_missed() {
    let pod = Pod::new().await;
    let mut ctrl = pod.ctrl(&OUTPUTS);
    let script = format!("rm {}; echo 1 > made", pod.path("socket/data.sock").display());
    let mut exec = pod.exec(&script);
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(0), Some(0)));
    assert_eq!(pod.store.keys(), ["out/made"]);
    pod.assert_over(0).await;
}

/// No line is lost or out of order; repetitions are those that the service had
/// not acknowledged.
async fn killed_with_lines_in_flight(is_over: bool) {
    let pod = Pod::new().await;
    let mut events = pod.service.subscribe();
    let mut ctrl = pod.ctrl(&["-logsPeriod", "1"]);
    let (gate, ended) = (pod.path("gate"), pod.path("ended"));
    let script = format!(
        "echo begin; until [ -e {0} ]; do sleep 0.02; done; seq 5000; touch {1}; {2}",
        gate.display(),
        ended.display(),
        if is_over { "true" } else { "sleep 1; echo end" },
    );
    let mut exec = pod.exec(&script);
    let mut lines = Vec::new();
    lines_until(&mut events, &mut lines, "begin").await;
    // An agent that never heard of a stored line takes the sidecar for one that
    // tells of none, and does not stay: the first word needs a second.
    tokio::time::sleep(Duration::from_secs(3)).await;
    pod.service.pause().await;
    std::fs::write(&gate, "").unwrap();
    pod.until("all is written", |_| ended.exists()).await;
    if is_over {
        pod.until("the sidecar knows of the end", |pod| {
            std::fs::read_to_string(pod.path("socket/ctrl/state.json"))
                .is_ok_and(|state| state.contains("\"ended\"") || state.contains("\"saved\""))
        })
        .await;
    }
    ctrl.kill().await.unwrap();
    pod.service.resume().await.unwrap();
    let mut ctrl = pod.ctrl(&["-logsPeriod", "1"]);
    lines_until(&mut events, &mut lines, if is_over { "5000" } else { "end" }).await;
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(0), Some(0)));
    let mut seen = BTreeSet::new();
    lines.retain(|line| line.parse::<u32>().is_ok() && seen.insert(line.clone()));
    let wanted: Vec<String> = (1..=5000).map(|number| number.to_string()).collect();
    assert!(lines == wanted, "{} of 5000 lines", lines.len());
    pod.assert_over(0).await;
}

#[tokio::test]
async fn a_sidecar_killed_in_run_loses_no_line() {
    killed_with_lines_in_flight(false).await;
}

#[tokio::test]
async fn a_sidecar_killed_after_the_end_loses_no_line() {
    killed_with_lines_in_flight(true).await;
}

/// A limit on file sizes stands for the full volume: the write fails either way.
#[tokio::test]
async fn inputs_that_cannot_be_written_are_10_with_the_cause() {
    let pod = Pod::new().await;
    pod.store.put("in/big", vec![7; 1 << 20]);
    let plain = pod.ctrl_command(&INPUTS);
    let script = "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script]).arg(plain.get_program()).args(plain.get_args());
    let mut ctrl = pod.spawn_ctrl(&mut command);
    let mut exec = pod.exec("true");
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(10), Some(0)));
    let message = pod.message();
    assert!(message.contains("s3://bkt/in") && message.contains("too large"), "{message}");
    pod.assert_over(10).await;
}
