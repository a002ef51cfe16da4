//! A pod of the real programs, with a service in this process.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, header};
use osmo_controller::service::{LocalService, ServiceConfig, TaskIdentity, TaskKey};
use osmo_link::{MESSAGE_BYTES_MAX, Network, Place as Address, Socket, Trust};
use osmo_protocol::logger::{Action, Route};
use osmo_protocol::login::{Login, TokenLogin};
use osmo_protocol::router::{PairKind, Side, pair_path};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::Bench;

/// Far beyond what any step takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(5);
const WORKFLOW: &str = "wf-1";
const TASK: &str = "t1";
/// Ends a command that waits.
const OVER: &str = "over";
/// Free in this process: routes need only differ.
static KEYS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// A service that knows one task, and where its pod would live.
pub(super) struct Ground {
    pub(super) service: LocalService,
    pub(super) folder: TempDir,
    pub(super) key: TaskKey,
    programs: PathBuf,
}

/// The pod at work.
pub(super) struct Pod {
    pub(super) ground: Ground,
    pub(super) ctrl: Child,
    pub(super) exec: Child,
}

/// What a case adds to the programs' command lines.
#[derive(Default)]
pub(super) struct More<'a> {
    pub(super) ctrl: &'a [&'a str],
    pub(super) exec: &'a [&'a str],
    /// Another way to the service than straight.
    pub(super) port: Option<u16>,
}

impl Ground {
    pub(super) async fn new(bench: &Bench) -> Result<Self> {
        let config = ServiceConfig { connections_max: 8_192, ..ServiceConfig::default() };
        let service = LocalService::start(config).await?;
        let identity = TaskIdentity {
            workflow: WORKFLOW.into(),
            group: "g".into(),
            task: TASK.into(),
            retry: 0,
            lead: true,
        };
        let key = identity.key();
        let token = service.add_task(identity);
        let folder = TempDir::new_in(&bench.work)?;
        for name in ["socket", "input", "output", "run", "bin"] {
            fs::create_dir(folder.path().join(name))?;
        }
        fs::write(folder.path().join("config.yaml"), "auth: {data: {}}")?;
        fs::write(folder.path().join("token"), token)?;
        let id_token = service.lasting_user_token();
        let login = Login {
            url: format!("http://{}", service.address()),
            token_login: Some(TokenLogin { id_token, ..TokenLogin::default() }),
            ..Login::default()
        };
        fs::write(folder.path().join("login.yaml"), serde_json::to_string(&login)?)?;
        Ok(Self { service, folder, key, programs: bench.programs.clone() })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program of the project, quiet.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.current_dir(self.folder.path()).env("HOME", self.folder.path());
        command.env("AWS_EC2_METADATA_DISABLED", "true").kill_on_drop(true);
        command
    }

    /// `osmo WORD … --login … WORKFLOW TASK`.
    pub(super) fn osmo(&self, words: &[&str]) -> Command {
        let mut command = self.program("osmo");
        command.args(words).arg("--login").arg(self.path("login.yaml"));
        command.args([WORKFLOW, TASK]);
        command
    }

    /// A key under which both sides meet.
    pub(super) fn route(&self, kind: PairKind) -> Route {
        let number = KEYS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = kind.as_str().to_uppercase();
        let address = format!("ws://{}", self.service.address());
        Route {
            router_address: address,
            key: format!("{name}-{number:032x}"),
            cookie: String::new(),
        }
    }

    /// One side of a pair as a command line of [`super::bare`] names it.
    pub(super) fn bare_side(&self, kind: PairKind, side: Side, key: &str) -> [String; 2] {
        let path = pair_path(kind, WORKFLOW, side, key);
        let token = match side {
            Side::Client => self.service.user_token(),
            Side::Backend => self.service.sidecar_token(),
        };
        [format!("ws://{}{path}", self.service.address()), token]
    }

    /// The user's side of a pair.
    pub(super) async fn user(&self, kind: PairKind, route: &Route) -> Result<Socket> {
        let place = Address::parse(&route.router_address)?;
        let mut headers = HeaderMap::new();
        let token = format!("Bearer {}", self.service.user_token());
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&token)?);
        let path = pair_path(kind, WORKFLOW, Side::Client, &route.key);
        let network = Network::open(Trust::default())?;
        Ok(network.websocket(&place, &path, headers, MESSAGE_BYTES_MAX).await?)
    }

    /// A pod whose command runs and does nothing until it is [`Pod::over`].
    pub(super) async fn waiting(self, more: &More<'_>) -> Result<Pod> {
        let over = self.path(OVER);
        let script = format!("echo up; until [ -e {} ]; do sleep 0.05; done", over.display());
        let pod = self.start(&script, more)?;
        pod.says("up").await?;
        Ok(pod)
    }

    /// Starts sidecar and agent; `script` is the task's.
    pub(super) fn start(self, script: &str, more: &More<'_>) -> Result<Pod> {
        let port = more.port.unwrap_or_else(|| self.service.address().port()).to_string();
        let mut ctrl = self.program("osmo-ctrl");
        ctrl.args(["-workflow", WORKFLOW, "-groupName", "g", "-logSource", TASK]);
        ctrl.args(["-host", "127.0.0.1", "-port", &port, "-terminationLog", "termination-log"]);
        ctrl.args(["-socketPath", "socket/data.sock", "-inputPath", "input"]);
        ctrl.args(["-outputPath", "output", "-refreshToken", "token"]);
        ctrl.args(["-userConfig", "config.yaml", "-serviceConfig", "config.yaml"]).args(more.ctrl);
        let mut exec = self.program("osmo-exec");
        exec.args(["-socketPath", "socket/data.sock", "-runLocation"]).arg(self.path("run"));
        exec.arg("-userBinPath").arg(self.path("bin")).args(more.exec);
        exec.args(["-commands", "sh", "-args", "-c", "-args", script]);
        let ctrl = ctrl.spawn().context("start osmo-ctrl")?;
        let exec = exec.spawn().context("start osmo-exec")?;
        Ok(Pod { ground: self, ctrl, exec })
    }
}

impl Pod {
    /// Waits until the command has said `word` on a line of its own.
    pub(super) async fn says(&self, word: &str) -> Result<()> {
        let said = || {
            let logs = self.ground.service.logs(&self.ground.key);
            logs.iter().any(|line| line.text.as_ref() == word)
        };
        until(&format!("the command says {word}"), said).await
    }

    /// A terminal's pair, open and served.
    pub(super) async fn terminal(&self, command: &str) -> Result<Socket> {
        let route = self.ground.route(PairKind::Exec);
        let entry_command = command.to_owned();
        let action = Action::Exec { route: route.clone(), entry_command };
        ensure!(self.ground.service.push_action(&self.ground.key, action), "no room for an action");
        let mut socket = self.ground.user(PairKind::Exec, &route).await?;
        send(&mut socket, br#"{"Rows":24,"Cols":80}"#).await?;
        Ok(socket)
    }

    /// Ends the command of a pod that waits, and the pod.
    pub(super) async fn over(self) -> Result<()> {
        fs::write(self.ground.path(OVER), "")?;
        self.end().await
    }

    /// Both programs end well once the command has.
    pub(super) async fn end(mut self) -> Result<()> {
        for child in [&mut self.exec, &mut self.ctrl] {
            let status =
                timeout(PATIENCE, child.wait()).await.context("a program does not end")??;
            ensure!(status.success(), "a program of the pod ended with {status}");
        }
        Ok(())
    }
}

/// Waits for a condition.
pub(super) async fn until(what: &str, is: impl Fn() -> bool) -> Result<()> {
    let begin = Instant::now();
    while !is() {
        ensure!(begin.elapsed() < PATIENCE, "it does not come: {what}");
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// A binary message.
pub(super) async fn send(socket: &mut Socket, bytes: &[u8]) -> Result<()> {
    Ok(socket.send(Message::binary(bytes.to_vec())).await?)
}

/// The next binary message.
pub(super) async fn next(socket: &mut Socket) -> Result<Vec<u8>> {
    loop {
        let message = timeout(PATIENCE, socket.next()).await.context("nothing comes")?;
        if let Message::Binary(bytes) = message.context("the pair has ended")?? {
            return Ok(bytes.to_vec());
        }
    }
}
