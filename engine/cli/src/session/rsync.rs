//! `osmo rsync`: files to and from a task, by this machine's own rsync.
//!
//! ```text
//! rsync ─► 127.0.0.1:port ─► pair ─► sidecar ─► the task's rsync daemon
//!           (ours, as long as it runs)
//! ```
//!
//! The task's daemon may not be there yet: it is asked for its modules until it
//! answers, before rsync is started.

mod modules;
mod path;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use osmo_protocol::logger::Route;
use osmo_protocol::router::PairKind;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::flags::{Copy, Rsync};
use super::forward::{Calls, Tunnel, announce, serve};
use super::service::{Service, encode};
use super::trouble::Trouble;
use super::{asked_to_end, order};
use crate::exit::Exit;
use crate::progress::say;
use modules::Module;
use path::{Direction, Paths};

/// Connections of one rsync at once.
const CONNECTIONS_MAX: usize = 16;
/// As rsync ends after ^C.
const STOPPED: u8 = 20;
const AGAIN: Duration = Duration::from_secs(2);

pub(crate) async fn run(flags: Rsync) -> Result<Exit, Trouble> {
    let (direction, flags) = match flags {
        Rsync::Upload(flags) => (Direction::Upload, flags),
        Rsync::Download(flags) => (Direction::Download, flags),
    };
    let (task, paths) = match &flags.rest[..] {
        [paths] => (None, paths),
        [task, paths, ..] => (Some(task.clone()), paths),
        [] => return Err(Trouble::Usage("what shall be copied? FROM:TO".into())),
    };
    let program = program(&flags)?;
    let paths = Paths::parse(direction, paths)?;
    let service = Arc::new(Service::open(&flags.service)?);
    let begin = async {
        let task = order::task(&service, &flags.workflow, task).await?;
        let (module, below) = modules::find(&service, direction, &paths.remote).await?;
        let tunnel = tunnel(Arc::clone(&service), &flags);
        let (route, calls, control) = meet(&tunnel, &flags, &task, &module).await?;
        Ok::<_, Trouble>((module, below, tunnel, route, calls, control))
    };
    let (module, below, tunnel, route, calls, control) = tokio::select! {
        begun = begin => begun?,
        _ = asked_to_end() => return Ok(Exit::Command(STOPPED)),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(local)?;
    let port = listener.local_addr().map_err(local)?.port();
    let remote = format!("rsync://127.0.0.1:{port}/{}/{below}", module.name);
    let mut child = start(&program, &flags, direction, &paths.prepare(direction)?, &remote)?;
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut running = JoinSet::new();
    let served = async {
        tokio::select! {
            // The data pairs outlive the control pair.
            _ = control => std::future::pending().await,
            lost = serve(&tunnel, &route, &listener, &calls, &slots, "rsync", &mut running) => lost,
        }
    };
    tokio::select! {
        ended = wait(&mut child) => ended,
        lost = served => Err(lost),
    }
}

fn local(error: std::io::Error) -> Trouble {
    Trouble::Local(error.to_string())
}

fn tunnel(service: Arc<Service>, flags: &Copy) -> Arc<Tunnel> {
    let wait = Duration::from_secs(flags.timeout);
    Arc::new(Tunnel { service, kind: PairKind::Rsync, workflow: flags.workflow.clone(), wait })
}

/// Asks for a session until the task's daemon tells its modules: in a task's
/// first seconds nobody answers.
async fn meet(
    tunnel: &Arc<Tunnel>,
    flags: &Copy,
    task: &str,
    module: &Module,
) -> Result<(Route, Calls, tokio::task::JoinHandle<Trouble>), Trouble> {
    let what = format!("rsync/task/{}", encode(task));
    let patience = Duration::from_secs(flags.wait);
    let begun = Instant::now();
    loop {
        let left = patience.saturating_sub(begun.elapsed());
        let route: Route = order::place(&tunnel.service, &flags.workflow, &what, left).await?;
        let control = tunnel.control(&route).await?;
        let (calls, pending) = Calls::new();
        let control = tokio::spawn(announce(control, pending));
        match modules::list(tunnel, &route, &calls).await {
            Ok(names) if names.contains(&module.name) => return Ok((route, calls, control)),
            Ok(names) => {
                return Err(Trouble::Refused(format!(
                    "task {task} has no {} to copy to or from ({}); it has {}",
                    module.path,
                    module.name,
                    names.join(", ")
                )));
            }
            Err(why) if begun.elapsed() + AGAIN >= patience => {
                return Err(Trouble::Transient(format!(
                    "the rsync of task {task} does not answer: {why}; is rsync enabled for the \
                     workflow?"
                )));
            }
            Err(_) => {
                control.abort();
                say("the task's rsync does not answer yet; again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// The program to run.
fn program(flags: &Copy) -> Result<PathBuf, Trouble> {
    let beside = std::env::current_exe().ok().and_then(|osmo| Some(osmo.parent()?.join("rsync")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join("rsync"));
    let mut candidates = flags
        .rsync
        .clone()
        .map_or_else(|| beside.into_iter().chain(in_path).collect::<Vec<_>>(), |named| vec![named]);
    candidates.retain(|file| file.is_file());
    candidates.into_iter().next().ok_or_else(|| {
        Trouble::Local(match &flags.rsync {
            Some(named) => format!("{}: no such program", named.display()),
            None => "there is no rsync program on this machine; install rsync, or name one with \
                     --rsync"
                .into(),
        })
    })
}

fn start(
    program: &PathBuf,
    flags: &Copy,
    direction: Direction,
    here: &OsString,
    there: &str,
) -> Result<Child, Trouble> {
    let mut command = Command::new(program);
    command.arg("-av");
    if !flags.no_progress && std::io::stdout().is_terminal() {
        command.arg("--progress");
    }
    if let (Direction::Upload, Some(rate)) = (direction, flags.upload_rate_limit) {
        // In KiB, at least one: 0 would lift the limit.
        command.arg(format!("--bwlimit={}", rate.div_ceil(1024).max(1)));
    }
    command.args(&flags.options).arg("--");
    match direction {
        Direction::Upload => command.arg(here).arg(there),
        Direction::Download => command.arg(there).arg(here),
    };
    // What would lead rsync elsewhere than to our port.
    for variable in ["RSYNC_PROXY", "RSYNC_CONNECT_PROG", "RSYNC_PORT"] {
        command.env_remove(variable);
    }
    let started = command.kill_on_drop(true).spawn();
    started.map_err(|error| Trouble::Local(format!("cannot start {}: {error}", program.display())))
}

/// Ends with rsync's code. A ^C at the terminal reaches rsync by itself; other
/// signals are passed on.
async fn wait(child: &mut Child) -> Result<Exit, Trouble> {
    use std::os::unix::process::ExitStatusExt as _;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(local)?,
            _ = asked_to_end() => {
                let pid = child.id().and_then(|id| i32::try_from(id).ok());
                if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                }
            }
        }
    };
    let code = status.code().or_else(|| status.signal().map(|number| 128 + number)).unwrap_or(255);
    Ok(if code == 0 { Exit::Success } else { Exit::Command(u8::try_from(code).unwrap_or(255)) })
}
