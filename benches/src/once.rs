//! One command, run by a small process of its own: the kernel then counts for
//! this run alone what the command and everything it started have used.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, killpg};
use nix::sys::time::TimeVal;
use nix::sys::wait::wait;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// The flags of the hidden command.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Where the record goes
    #[arg(long)]
    record: PathBuf,
    /// The CPU that the command is kept on
    #[arg(long)]
    cpu: Option<usize>,
    /// After so many seconds it is killed
    #[arg(long)]
    limit_s: u64,
    /// Program and arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// What the kernel says after the end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// The exit code, 128 and the signal's number when one ended it.
    pub(crate) code: i32,
    /// From start to end.
    pub(crate) wall_s: f64,
    /// In user mode, of all processes.
    pub(crate) user_s: f64,
    /// In the kernel for them.
    pub(crate) sys_s: f64,
    /// The largest of the processes, at its peak.
    pub(crate) rss_kib_most: i64,
}

/// Runs it and writes the record.
pub(crate) fn main(flags: &Flags) -> Result<()> {
    // Orphans come back here, so that they are waited for and counted.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    if let Some(cpu) = flags.cpu {
        pin(0, cpu)?;
    }
    let cost = run(&flags.command, Duration::from_secs(flags.limit_s))?;
    fs::write(&flags.record, serde_json::to_vec(&cost)?)?;
    Ok(())
}

/// Keeps a thread (0: this one) on a CPU.
pub(crate) fn pin(thread: i32, cpu: usize) -> Result<()> {
    let mut set = nix::sched::CpuSet::new();
    set.set(cpu)?;
    nix::sched::sched_setaffinity(Pid::from_raw(thread), &set)
        .with_context(|| format!("keep a process on CPU {cpu}"))
}

fn run(command: &[OsString], limit: Duration) -> Result<Cost> {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    let (program, args) = command.split_first().context("no command")?;
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let group = Pid::from_raw(i32::try_from(child.id())?);
    let (ended, end) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if end.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            let _ = killpg(group, Signal::SIGKILL);
        }
    });
    let status = child.wait()?;
    let wall_s = start.elapsed().as_secs_f64();
    drop(ended);
    let _ = watch.join();
    // What it left behind ends with it.
    let _ = killpg(group, Signal::SIGKILL);
    while wait() != Err(Errno::ECHILD) {}
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok(Cost {
        code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        wall_s,
        user_s: seconds(usage.user_time()),
        sys_s: seconds(usage.system_time()),
        rss_kib_most: usage.max_rss(),
    })
}

fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}
