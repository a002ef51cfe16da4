//! One task's pod: the programs are real, service and store live here.
#![allow(dead_code, reason = "no test file needs all of it")]

#[path = "gauges.rs"]
mod gauges;

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use osmo_controller::service::{LocalService, ServiceConfig, ServiceEvent, TaskIdentity, TaskKey};
use osmo_protocol::events::{SidecarEvent, Summary};
use osmo_tests::fault_server::{Call, FaultServer};
use osmo_tests::pod::sidecar_args;
use osmo_tests::program::Programs;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

pub(crate) const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

/// Far beyond what any of it takes.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(120);

pub(crate) struct Pod {
    pub(crate) folder: TempDir,
    pub(crate) store: FaultServer,
    pub(crate) service: LocalService,
    pub(crate) key: TaskKey,
}

impl Pod {
    pub(crate) async fn new() -> Self {
        Self::with(ServiceConfig::default()).await
    }

    pub(crate) async fn with(config: ServiceConfig) -> Self {
        let service = LocalService::start(config).await.unwrap();
        let identity = TaskIdentity {
            workflow: "wf-1".into(),
            group: "g".into(),
            task: "t".into(),
            retry: 0,
            lead: true,
        };
        let (key, token) = (identity.key(), service.add_task(identity));
        let store = FaultServer::start("bkt").unwrap();
        let pod = Self { folder: TempDir::new().unwrap(), store, service, key };
        for folder in ["socket", "input", "output"] {
            std::fs::create_dir(pod.path(folder)).unwrap();
        }
        std::fs::write(pod.path("socket/handoff"), "0123456789abcdef").unwrap();
        let config = pod.store.config(Some(&pod.store.url()));
        std::fs::write(pod.path("config.yaml"), config).unwrap();
        std::fs::write(pod.path("token"), token).unwrap();
        pod
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn ctrl<S: AsRef<OsStr>>(&self, more: &[S]) -> Child {
        let mut command = PROGRAMS.command("osmo-ctrl", self.ctrl_args());
        self.spawn_ctrl(command.args(more))
    }

    /// The same to be started by another program, which names none but files.
    pub(crate) fn ctrl_command(&self, more: &[&str]) -> Command {
        let mut command = self.by_name("osmo-ctrl");
        command.args(self.ctrl_args()).args(more);
        command
    }

    /// As [`Pod::ctrl_command`]; the script begins where that program is.
    pub(crate) fn exec_command(&self, script: &str) -> Command {
        let mut command = self.by_name("osmo-exec");
        command.arg("-socketPath").arg(self.path("socket/data.sock"));
        command.args(["-commands", "sh", "-args", "-c", "-args", script]);
        command
    }

    fn by_name(&self, name: &str) -> Command {
        let link = self.path(name);
        std::os::unix::fs::symlink(PROGRAMS.0, &link).unwrap();
        let mut command = Command::new(link);
        let plain = PROGRAMS.command(name, [""; 0]);
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }

    /// Keeps what it tells as events.
    pub(crate) fn spawn_ctrl(&self, command: &mut Command) -> Child {
        self.spawn_ctrl_telling(command, Path::new("/dev/null"))
    }

    /// The same, and what it tells for people in a file.
    pub(crate) fn spawn_ctrl_telling(&self, command: &mut Command, errors: &Path) -> Child {
        let [events, errors] =
            [&*self.path("events"), errors].map(|path| File::create(path).unwrap());
        command.args(["-events", "json"]).stdin(Stdio::null()).stdout(events);
        start(command.stderr(errors))
    }

    pub(crate) fn ctrl_args(&self) -> Vec<String> {
        sidecar_args(self.folder.path(), "t", self.service.address().port())
    }

    pub(crate) fn exec(&self, script: &str) -> Child {
        let mut command = PROGRAMS.command("osmo-exec", ["-socketPath"]);
        command.arg(self.path("socket/data.sock")).current_dir(self.path("output"));
        spawn(command.args(["-commands", "sh", "-args", "-c", "-args", script]))
    }

    /// The same with rsync's daemon, whose module is `run/workspace`.
    pub(crate) fn exec_with_rsync(&self, script: &str) -> Child {
        std::fs::create_dir_all(self.path("run/workspace")).unwrap();
        let mut command = PROGRAMS.command("osmo-exec", ["-socketPath"]);
        command.arg(self.path("socket/data.sock")).current_dir(self.path("output"));
        command.arg("-runLocation").arg(self.path("run"));
        command.arg("-userBinPath").arg(self.path("run"));
        command.args(["-enableRsync", "-rsyncPort", "0"]);
        spawn(command.args(["-commands", "sh", "-args", "-c", "-args", script]))
    }

    /// Whether a process names `mark` on its command line.
    pub(crate) fn runs(&self, mark: &str) -> bool {
        !processes_of(mark).is_empty()
    }

    pub(crate) fn termination(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("termination-log")).unwrap()).unwrap()
    }

    /// The sidecar's last event.
    pub(crate) fn summary(&self) -> Summary {
        let events = std::fs::read_to_string(self.path("events")).unwrap();
        match serde_json::from_str(events.lines().last().unwrap()).unwrap() {
            SidecarEvent::Summary(summary) => summary,
            other => panic!("{other:?} is not the last word"),
        }
    }

    pub(crate) fn message(&self) -> String {
        self.termination()["message"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until `is` holds.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let waited = timeout(WATCHDOG, async {
            while !is(self) {
                sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{what}: {:?}", self.store.seen()));
    }

    pub(crate) fn has_seen(&self, call: Call, name: &str) -> bool {
        self.store.seen().iter().any(|(seen, key)| *seen == call && key.contains(name))
    }

    /// Away without a word, and back.
    pub(crate) async fn outage(&self) {
        self.service.pause().await;
        sleep(Duration::from_millis(700)).await;
        self.service.resume().await.unwrap();
    }

    /// The task is over, nothing of it is left here and nothing half done in
    /// the store.
    pub(crate) async fn assert_over(&self, code: u8) {
        self.assert_gone(code).await;
        assert_eq!(self.store.unfinished_uploads(), 0);
        assert_eq!(self.store.violations(), Vec::<String>::new());
    }

    /// The task is over: nothing of it runs, holds a connection, or anything
    /// else that the sidecar counts.
    pub(crate) async fn assert_gone(&self, code: u8) {
        assert_eq!(self.termination()["code"], code, "{}", self.termination());
        let summary = self.summary();
        // Lines are left where nobody takes them.
        let taken = !matches!(code, 20 | 21 | 40);
        for (name, count) in
            summary.left.each().into_iter().filter(|(name, _)| taken || *name != "lines")
        {
            assert_eq!(count, 0, "{name} are left: {summary:?}");
        }
        self.until("a process of the pod is left", |pod| pod.processes().is_empty()).await;
        self.until("a connection is left", |pod| pod.store.connections_left() == 0).await;
    }

    /// Those that name the pod's folder on their command line.
    pub(crate) fn processes(&self) -> Vec<u32> {
        processes_of(&self.folder.path().display().to_string())
    }
}

fn processes_of(mark: &str) -> Vec<u32> {
    let names = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let named = pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(mark)
    });
    named.collect()
}

pub(crate) fn spawn(command: &mut Command) -> Child {
    start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
}

fn start(command: &mut Command) -> Child {
    let command = std::mem::replace(command, Command::new("none"));
    tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap()
}

pub(crate) fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

pub(crate) async fn code(child: &mut Child) -> Option<i32> {
    timeout(WATCHDOG, child.wait()).await.expect("the program ends").unwrap().code()
}

/// The command's lines as the service gets them, repetitions included, until
/// `last`.
pub(crate) async fn lines_until(
    events: &mut mpsc::Receiver<ServiceEvent>,
    lines: &mut Vec<String>,
    last: &str,
) {
    let heard = timeout(WATCHDOG, async {
        while let Some(event) = events.recv().await {
            if let ServiceEvent::Line { line, .. } = event
                && line.io_type == "STDOUT"
            {
                lines.push(line.text.to_string());
                if line.text.as_ref() == last {
                    return;
                }
            }
        }
    });
    heard.await.unwrap_or_else(|_| panic!("no {last} after {:?}", lines.last()));
}
