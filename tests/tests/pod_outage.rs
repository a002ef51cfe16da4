//! A pod whose service goes away: what its lines and its end come to. The
//! service lives in this process, the pod's programs are real.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use osmo_controller::service::{
    LocalService, ServiceConfig, ServiceEvent, TaskIdentity, TaskKey, TaskStatus,
};
use osmo_tests::program::Programs;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

/// Far beyond what any of it takes.
const WATCHDOG: Duration = Duration::from_secs(200);

/// One task's folders, known to a service.
struct Pod {
    folder: TempDir,
    key: TaskKey,
    service: LocalService,
}

impl Pod {
    async fn new() -> Self {
        let service = LocalService::start(ServiceConfig::default()).await.unwrap();
        let identity = TaskIdentity {
            workflow: "wf-1".into(),
            group: "g".into(),
            task: "t".into(),
            retry: 0,
            lead: true,
        };
        let (key, token) = (identity.key(), service.add_task(identity));
        let folder = TempDir::new().unwrap();
        let pod = Self { folder, key, service };
        let init = PROGRAMS
            .command(
                "osmo-init",
                ["data", "login", "user_bin", "run"].iter().flat_map(|place| {
                    let at = pod.path(place);
                    std::fs::create_dir(&at).unwrap();
                    [format!("--{place}_location"), at.display().to_string()]
                }),
            )
            .args(["--binaries", "none", "--login", "optional"])
            .output()
            .unwrap();
        assert!(init.status.success(), "{init:?}");
        std::fs::write(pod.path("token"), token).unwrap();
        pod
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ctrl(&self, more: &[&str]) -> Child {
        let address = self.service.address();
        let mut command = PROGRAMS.command(
            "osmo-ctrl",
            ["-workflow", "wf-1", "-groupName", "g", "-logSource", "t", "-host", "127.0.0.1"],
        );
        for (flag, path) in [
            ("-socketPath", "data/socket/data.sock"),
            ("-inputPath", "data/input"),
            ("-outputPath", "data/output"),
            ("-refreshToken", "token"),
            ("-userConfig", "none"),
            ("-serviceConfig", "none"),
            ("-terminationLog", "termination-log"),
        ] {
            command.arg(flag).arg(self.path(path));
        }
        command.args(["-port", &address.port().to_string()]).args(more);
        spawn(command)
    }

    fn exec(&self, script: &str) -> Child {
        let mut command = PROGRAMS.command("osmo-exec", ["-socketPath"]);
        command.arg(self.path("data/socket/data.sock"));
        command.args(["-commands", "sh", "-args", "-c", "-args", script]);
        spawn(command)
    }

    /// The service was killed and comes back: neither a close nor an answer.
    async fn restart_service(&self) {
        self.service.pause().await;
        self.service.resume().await.unwrap();
    }

    fn termination(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("termination-log")).unwrap()).unwrap()
    }
}

fn spawn(mut command: std::process::Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Command::from(command).kill_on_drop(true).spawn().unwrap()
}

async fn code(child: &mut Child) -> Option<i32> {
    timeout(WATCHDOG, child.wait()).await.expect("the program ends").unwrap().code()
}

/// The command's lines as a subscriber gets them, repetitions included, until
/// `is_last` says so.
async fn lines_until(
    events: &mut mpsc::Receiver<ServiceEvent>,
    lines: &mut Vec<String>,
    is_last: impl Fn(&str) -> bool,
) {
    timeout(WATCHDOG, async {
        while let Some(event) = events.recv().await {
            if let ServiceEvent::Line { line, .. } = event
                && line.io_type == "STDOUT"
            {
                lines.push(line.text.to_string());
                if is_last(&line.text) {
                    return;
                }
            }
        }
    })
    .await
    .expect("the lines arrive");
}

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
    lines_until(&mut events, &mut lines, |line| line == "7").await;
    pod.service.kill_connections().await;
    lines_until(&mut events, &mut lines, |line| line == "2005").await;
    pod.restart_service().await;
    lines_until(&mut events, &mut lines, |line| line == "2200").await;
    pod.service.pause().await;
    // While it is away the command goes on, and ends.
    std::fs::write(&gate, "").unwrap();
    assert_eq!(code(&mut exec).await, Some(0));
    pod.service.resume().await.unwrap();
    lines_until(&mut events, &mut lines, |line| line == "5000").await;
    pod.service.kill_connections().await;
    lines_until(&mut events, &mut lines, |line| line == "6000").await;
    assert_eq!(code(&mut ctrl).await, Some(0));
    let expected: Vec<String> = (1..=6000).map(|number| number.to_string()).collect();
    assert!(without_repetitions(&lines) == expected, "got {} lines", lines.len());
    assert_eq!(pod.termination(), serde_json::json!({"code": 0}));
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
    let told = pod.termination();
    assert_eq!(told["code"], 21);
    let sentence = told["message"].as_str().unwrap();
    let place = pod.service.address().to_string();
    for word in [place.as_str(), "-timeout", "Connection refused"] {
        assert!(sentence.contains(word), "no {word:?} in {sentence}");
    }
}

#[tokio::test]
async fn a_task_that_the_service_calls_finished_ends_at_once() {
    let pod = Pod::new().await;
    pod.service.set_status(&pod.key, TaskStatus::Completed);
    let mut exec = pod.exec("echo never");
    let mut ctrl = pod.ctrl(&[]);
    assert_eq!(code(&mut ctrl).await, Some(20));
    assert_eq!(code(&mut exec).await, Some(0));
    let told = pod.termination();
    assert_eq!(told["code"], 20);
    assert!(told["message"].as_str().unwrap().contains("finished"), "{told}");
}

#[tokio::test]
async fn an_agent_that_is_killed_is_23() {
    let pod = Pod::new().await;
    let mut events = pod.service.subscribe();
    let mut ctrl = pod.ctrl(&[]);
    let mut exec = pod.exec("echo here; exec sleep 86399");
    lines_until(&mut events, &mut Vec::new(), |line| line == "here").await;
    let command = children_of(exec.id().unwrap());
    exec.kill().await.unwrap();
    assert_eq!(code(&mut ctrl).await, Some(23));
    let told = pod.termination();
    assert!(told["message"].as_str().unwrap().contains("killed"), "{told}");
    // In a pod the container takes the command along; here the test does.
    for pid in command {
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::Signal::KILL,
        );
    }
}

fn children_of(pid: u32) -> Vec<i32> {
    let list = Path::new("/proc").join(format!("{pid}/task/{pid}/children"));
    let text = std::fs::read_to_string(list).unwrap_or_default();
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}
