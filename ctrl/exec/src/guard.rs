//! Between the agent and a program of its own that starts further ones (rsync,
//! an upload): this program again, which ends the whole group when the agent is
//! gone, however it went. Only a child itself can be told by the kernel that
//! its parent died, not the child's children.
//!
//! ```text
//!   agent ──► guard (leader of the group) ──► rsync ──► rsync
//!      ╳ ─ SIGTERM by the kernel ─► SIGKILL to the group
//! ```

use std::ffi::{OsStr, OsString};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, getppid};

use crate::command::start_error;
use crate::complain;

/// The private first argument that turns this program into a guard.
pub(crate) const STAGE: &str = "--osmo-exec-guard";

/// This program again as `stage`, leader of a group of its own; its first word
/// is the number of the agent that it guards against.
pub(crate) fn command(prefix: &[OsString], stage: &str) -> Command {
    let mut command = crate::namespace::again(prefix, stage);
    command.arg(std::process::id().to_string()).stdin(Stdio::null()).process_group(0);
    command
}

/// The stage's main: the agent's number, then the command.
pub(crate) fn stage(words: &[OsString]) -> u8 {
    match words {
        [agent, program, args @ ..] => guard(agent, Command::new(program).args(args)),
        _ => 2,
    }
}

/// Runs `command` and returns its code.
pub(crate) fn guard(agent: &OsStr, command: &mut Command) -> u8 {
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGCHLD]);
    let is_told = signals.thread_block().and_then(|()| {
        // From now on the agent's death is told; an earlier one is seen.
        nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)
    });
    if is_told.is_err() || agent.to_str() != Some(&getppid().to_string()) {
        return 1;
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let error = start_error(command.get_program(), &error);
            complain(&error.sentence);
            return error.code;
        }
    };
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {}
            // Zero is the own group, this process included.
            Ok(_) => drop(kill(Pid::from_raw(0), Signal::SIGKILL)),
            Err(_) => continue,
        }
        if let Ok(Some(status)) = child.try_wait() {
            let code = status.code().or(status.signal().map(|signal| 128 + signal));
            return code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX);
        }
    }
}
