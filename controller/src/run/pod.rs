//! One attempt of one task: `osmo-init`, then `osmo-ctrl` and `osmo-exec` side
//! by side, as real processes, until both have ended.
//!
//! ```text
//! init ──0──► ctrl ─┬─ events on stdout ──► screen
//!             exec ─┘  both exit ──► End
//! ```
//!
//! A stop (the user's ^C, or the time-out of the group) is a pod's eviction:
//! SIGTERM to both, the sidecar saves what is there; a second ^C kills. The
//! agent kills its command, and all that it started, at SIGHUP.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use osmo_protocol::events::{Phase, SidecarEvent, Summary};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::order::Order;
use super::stop::{Stop, Stops};
use super::tree::Tree;
use crate::role::Program;

/// What a role may say on its standard error before it is cut.
const STDERR_BYTES_MAX: u64 = 64 << 10;

/// A command gets this long to end when its sidecar has, before it is killed.
const AFTERMATH: Duration = Duration::from_secs(10);

/// An agent that was told to kill its command gets this long.
const LAST: Duration = Duration::from_secs(5);

/// A sidecar notices by itself that its agent left; one that never saw it is
/// told after this long.
const RELEASE: Duration = Duration::from_secs(2);

/// How an attempt ended.
#[derive(Debug)]
pub struct End {
    /// How long `osmo-init` took.
    pub init: Duration,
    /// The agent's exit code: the command's own. `None` if it was killed.
    pub command_code: Option<i32>,
    /// The sidecar's last event, if it came to it.
    pub summary: Option<Summary>,
    /// The sidecar's exit status.
    pub sidecar: ExitStatus,
    /// What the roles said on standard error, for the message.
    pub complaints: Vec<String>,
    /// Why it was stopped, if it was.
    pub stopped: Option<Stop>,
}

/// Runs the attempt. `events` receives the sidecar's events as they come.
///
/// # Errors
/// A role could not be started, or `osmo-init` failed.
pub async fn run(
    order: &Order,
    tree: &Tree,
    stops: &mut Stops,
    events: mpsc::Sender<SidecarEvent>,
) -> Result<End> {
    let init = prepare(order, tree).await?;
    let mut ctrl = Running::start(ctrl_command(order, tree), "osmo-ctrl")?;
    let mut exec = Running::start(exec_command(order, tree), "osmo-exec")?;
    let (met, is_met) = watch::channel(false);
    let reader = tokio::spawn(read_events(ctrl.take_stdout()?, events, met));

    let (stopped, released) = wait_both(order, &mut ctrl, &mut exec, stops, &is_met).await;
    let (Some(sidecar), Some(agent)) = (ctrl.status, exec.status) else {
        bail!("osmo-ctrl or osmo-exec ended without a status");
    };
    let summary = reader.await.context("read the sidecar's events")?;
    let mut complaints = vec![ctrl.complaints().await, exec.complaints().await];
    if released {
        complaints.push(format!("osmo-exec ended before it reached the sidecar ({agent})"));
    }
    complaints.retain(|text| !text.is_empty());
    Ok(End { init, command_code: agent.code(), summary, sidecar, complaints, stopped })
}

async fn prepare(order: &Order, tree: &Tree) -> Result<Duration> {
    let began = Instant::now();
    let output = Command::from(Program::Init.command(order.init_args(tree)))
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot start osmo-init")?;
    if !output.status.success() {
        bail!("osmo-init failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let took = began.elapsed();
    tree.furnish().context("cannot furnish the task's tree")?;
    Ok(took)
}

fn ctrl_command(order: &Order, tree: &Tree) -> Command {
    let mut command = Program::Ctrl.command(order.ctrl_args(tree));
    command
        .envs(order.sidecar_environment.iter().cloned())
        .env("OSMO_CONFIG_FILE_DIR", tree.path("login/ctrl/config"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.into()
}

fn exec_command(order: &Order, tree: &Tree) -> Command {
    let mut command = Program::Exec.command(order.exec_args(tree));
    command
        .env_clear()
        .envs(order.environment.iter().cloned())
        .current_dir(tree.path("run/workspace"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.into()
}

/// Waits until both processes have ended, passing stops on. `met` turns true
/// when the sidecar knows its agent. Answers with who stopped the pod, and
/// whether the sidecar was told that its agent will not come.
async fn wait_both(
    order: &Order,
    ctrl: &mut Running,
    exec: &mut Running,
    stops: &mut Stops,
    met: &watch::Receiver<bool>,
) -> (Option<Stop>, bool) {
    let timeout = sleep(order.exec_timeout.unwrap_or(Duration::MAX));
    tokio::pin!(timeout);
    let mut stopped = None;
    // What the agent gets when it takes too long.
    let mut next: Option<(Instant, Signal)> = None;
    // When a sidecar that never saw its agent is told not to wait for it.
    let (mut release_at, mut released) = (None, false);
    while ctrl.status.is_none() || exec.status.is_none() {
        tokio::select! {
            () = ctrl.ended(), if ctrl.status.is_none() => {
                // Nobody saves any more what the command may still write.
                exec.signal(Signal::TERM);
                next = next.or(Some((Instant::now() + AFTERMATH, Signal::HUP)));
            }
            () = exec.ended(), if exec.status.is_none() => {
                release_at = Some(Instant::now() + RELEASE);
            }
            stop = stops.next() => {
                if stopped.is_none() {
                    exec.signal(Signal::TERM);
                    ctrl.signal(Signal::TERM);
                } else {
                    ctrl.signal(Signal::KILL);
                    next = Some((Instant::now(), Signal::HUP));
                }
                stopped = Some(stop);
            }
            () = &mut timeout, if stopped.is_none() => {
                exec.signal(Signal::TERM);
                stopped = Some(Stop::Timeout);
                next = Some((Instant::now() + order.settings.grace, Signal::HUP));
            }
            signal = due(next), if next.is_some() => {
                exec.signal(signal);
                next = (signal == Signal::HUP).then(|| (Instant::now() + LAST, Signal::KILL));
            }
            () = at(release_at), if release_at.is_some() => {
                release_at = None;
                if !*met.borrow() && ctrl.status.is_none() {
                    released = stopped.is_none();
                    ctrl.signal(Signal::TERM);
                }
            }
        }
    }
    (stopped, released)
}

async fn due(next: Option<(Instant, Signal)>) -> Signal {
    match next {
        Some((at, signal)) => {
            sleep_until(at).await;
            signal
        }
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
/// Reads events until the sidecar closes its standard output; answers with the
/// summary. Lines that are no events are not the sidecar's: ignored.
async fn read_events(
    stdout: impl AsyncRead + Unpin,
    events: mpsc::Sender<SidecarEvent>,
    met: watch::Sender<bool>,
) -> Option<Summary> {
    let mut lines = BufReader::new(stdout).lines();
    let mut summary = None;
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(SidecarEvent::Summary(last)) => summary = Some(last),
            Ok(event) => {
                if matches!(event, SidecarEvent::Phase { phase, .. } if phase != Phase::Init) {
                    met.send_replace(true);
                }
                // A screen that has gone is no reason to stop the task.
                let _ = events.send(event).await;
            }
            Err(_) => {}
        }
    }
    summary
}

/// A role that was started.
struct Running {
    child: Child,
    complaints: tokio::task::JoinHandle<String>,
    status: Option<ExitStatus>,
}

impl Running {
    fn start(mut command: Command, name: &str) -> Result<Self> {
        let mut child =
            command.kill_on_drop(true).spawn().with_context(|| format!("cannot start {name}"))?;
        let stderr = child.stderr.take().context("standard error was not piped")?;
        Ok(Self { child, complaints: tokio::spawn(read_bounded(stderr)), status: None })
    }

    fn take_stdout(&mut self) -> Result<tokio::process::ChildStdout> {
        self.child.stdout.take().context("standard output was not piped")
    }

    async fn ended(&mut self) {
        if let Ok(status) = self.child.wait().await {
            self.status = Some(status);
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // Gone already: then there is nobody to tell.
            let _ = kill_process(pid, signal);
        }
    }

    async fn complaints(self) -> String {
        self.complaints.await.unwrap_or_default()
    }
}

async fn read_bounded(mut stderr: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let _ = (&mut stderr).take(STDERR_BYTES_MAX).read_to_end(&mut kept).await;
    // The rest is drained so that nobody blocks on a full pipe.
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).trim().to_owned()
}
