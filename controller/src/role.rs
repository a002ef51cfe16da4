//! One binary, many roles: which program `argv[0]` asks for, and how to start
//! this executable again as another role (`docs/adr/0003`).

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

/// The executable that runs now; survives being replaced on disk.
const SELF: &str = "/proc/self/exe";

/// What the executable is asked to be, besides the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user's command line.
    Cli,
    /// A program of the pod.
    Pod(Program),
}

/// A program of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Prepares the tree.
    Init,
    /// The sidecar.
    Ctrl,
    /// The user container's entrypoint.
    Exec,
}

impl Role {
    /// The role that `argv[0]` names, if any. Both spellings of OSMO's images
    /// (`osmo_ctrl`) and of ours (`osmo-ctrl`) count.
    pub fn from_argv0(argv0: &OsStr) -> Option<Self> {
        match Path::new(argv0).file_name()?.to_str()? {
            "osmo-init" | "osmo_init" => Some(Self::Pod(Program::Init)),
            "osmo-ctrl" | "osmo_ctrl" => Some(Self::Pod(Program::Ctrl)),
            "osmo-exec" | "osmo_exec" => Some(Self::Pod(Program::Exec)),
            "osmo" => Some(Self::Cli),
            _ => None,
        }
    }
}

impl Program {
    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "osmo-init",
            Self::Ctrl => "osmo-ctrl",
            Self::Exec => "osmo-exec",
        }
    }

    /// A command that runs this executable as the program, in a process group
    /// of its own, so that a terminal's ^C reaches the runner alone.
    pub fn command<I>(self, args: I) -> Command
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let mut command = Command::new(SELF);
        command.arg0(self.name()).args(args).process_group(0);
        command
    }
}

/// Ties this process to the one that started it: a role of this executable
/// never outlives its runner, however the runner ends. The agent is told by
/// SIGHUP, so that it takes the user's command and all its descendants along;
/// the others just die.
pub fn bind_to_runner(program: Program) {
    let signal = match program {
        Program::Init | Program::Ctrl => Signal::KILL,
        Program::Exec => Signal::HUP,
    };
    // Refused only for signals that do not exist.
    let _ = rustix::process::set_parent_process_death_signal(Some(signal));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_roles() {
        for (argv0, role) in [
            ("osmo-init", Some(Role::Pod(Program::Init))),
            ("/osmo/bin/osmo_ctrl", Some(Role::Pod(Program::Ctrl))),
            ("./osmo-exec", Some(Role::Pod(Program::Exec))),
            ("osmo", Some(Role::Cli)),
            ("osmo-controller", None),
            ("/", None),
        ] {
            assert_eq!(Role::from_argv0(OsStr::new(argv0)), role, "{argv0}");
        }
    }
}
