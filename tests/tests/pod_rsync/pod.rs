//! A pod of real programs with rsync enabled, and the user beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use osmo_controller::service::{LocalService, ServiceConfig, TaskIdentity, TaskKey};
use osmo_protocol::login::{Login, TokenLogin};
use osmo_tests::pod::{listening_port, sidecar_args};
use osmo_tests::program::Programs;
use tempfile::TempDir;

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

/// Far beyond what any step takes.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(120);

/// Skips out loud where rsync is missing.
pub(crate) fn rsync_is_here() -> bool {
    let here = Command::new("rsync").arg("--version").output().is_ok();
    if !here {
        osmo_tests::skip::skip("there is no rsync");
    }
    here
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

pub(crate) struct Pod {
    folder: TempDir,
    service: LocalService,
    ctrl: Child,
    exec: Child,
}

impl Pod {
    /// Starts all of it; returns once the sidecar knows of the daemon. `more`
    /// are flags of the agent.
    pub(crate) async fn start(more: &[&str]) -> Self {
        let service = LocalService::start(ServiceConfig::default()).await.unwrap();
        let identity = TaskIdentity {
            workflow: "wf-1".into(),
            group: "g".into(),
            task: "t1".into(),
            retry: 0,
            lead: true,
        };
        let key = identity.key();
        let token = service.add_task(identity);
        let folder = TempDir::new().unwrap();
        for name in ["socket", "input", "output", "run", "bin"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("config.yaml"), "auth: {data: {}}").unwrap();
        fs::write(folder.path().join("token"), token).unwrap();
        let login = Login {
            url: format!("http://{}", service.address()),
            token_login: Some(TokenLogin {
                id_token: service.lasting_user_token(),
                ..TokenLogin::default()
            }),
            ..Login::default()
        };
        let login = serde_json::to_string(&login).unwrap();
        fs::write(folder.path().join("login.yaml"), login).unwrap();
        let ctrl = ctrl(folder.path(), service.address().port());
        let exec = exec(folder.path(), more);
        let pod = Self { folder, service, ctrl, exec };
        pod.wait_for_daemon(&key).await;
        pod
    }

    /// The sidecar may learn of it a moment later; `osmo` asks until it has.
    async fn wait_for_daemon(&self, key: &TaskKey) {
        let begun = Instant::now();
        while self.daemon_port().is_none() {
            assert!(begun.elapsed() < WATCHDOG, "{:?}", self.service.logs(key));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn osmo(&self, verb: &str, paths: &str, more: &[&str]) -> Command {
        let mut command = PROGRAMS.command("osmo", ["rsync", verb]);
        command.arg("--login").arg(self.path("login.yaml")).args(["wf-1", "t1", paths, "--"]);
        command.args(more).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `osmo rsync`, which must succeed.
    pub(crate) async fn copies(&self, verb: &str, paths: &str, more: &[&str]) {
        let mut command = self.osmo(verb, paths, more);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{verb} {paths} {more:?}: {}", said(&output));
    }

    /// Files that sidecar and agent have open.
    pub(crate) fn open_files(&self) -> usize {
        let count = |child: &Child| {
            fs::read_dir(format!("/proc/{}/fd", child.id())).map_or(0, Iterator::count)
        };
        count(&self.ctrl) + count(&self.exec)
    }

    /// rsync programs that serve this pod.
    pub(crate) fn daemons(&self) -> usize {
        let run = self.path("run").display().to_string();
        let lines = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            Some(
                String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).ok()?).into_owned(),
            )
        });
        lines.filter(|line| line.contains("--daemon") && line.contains(&run)).count()
    }

    /// Where the daemon listens: the agent's only socket of that kind.
    pub(crate) fn daemon_port(&self) -> Option<u16> {
        listening_port(self.exec.id())
    }

    /// The command ends; so does everything.
    pub(crate) async fn end(mut self) {
        fs::write(self.path("over"), "").unwrap();
        let begun = Instant::now();
        for child in [&mut self.exec, &mut self.ctrl] {
            let status = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                assert!(begun.elapsed() < WATCHDOG, "it does not end");
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            assert_eq!(status.code(), Some(0));
        }
        assert_eq!(self.daemons(), 0);
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        for child in [&mut self.exec, &mut self.ctrl] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn ctrl(folder: &Path, port: u16) -> Child {
    quiet(&mut PROGRAMS.command("osmo-ctrl", sidecar_args(folder, "t1", port)))
}

fn exec(folder: &Path, more: &[&str]) -> Child {
    let script = format!(
        "echo command runs; while [ ! -e {} ]; do sleep 0.05; done",
        folder.join("over").display()
    );
    let mut command = PROGRAMS.command("osmo-exec", ["-socketPath"]);
    command.arg(folder.join("socket/data.sock")).arg("-runLocation").arg(folder.join("run"));
    command.arg("-userBinPath").arg(folder.join("bin"));
    // Tests run side by side: each takes a free port.
    command.args(["-enableRsync", "-rsyncPort", "0"]).args(more);
    quiet(command.args(["-commands", "sh", "-args", "-c", "-args", &script]))
}

fn quiet(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
