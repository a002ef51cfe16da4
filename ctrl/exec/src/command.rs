//! The user's command: how it is started, signalled and taken note of.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use crate::flags::Flags;
use crate::{namespace, orphans};

/// The shell's code for a program that is not there.
pub(crate) const NOT_FOUND: u8 = 127;
/// The shell's code for a program that cannot be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;

/// Where programs are looked for when the image sets no `PATH`.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a command could not be started.
#[derive(Debug)]
pub(crate) struct StartError {
    /// The agent's exit code.
    pub(crate) code: u8,
    /// What the user reads on standard error.
    pub(crate) sentence: String,
}

/// A started command, leader of its own process group.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pid: Pid,
}

impl Running {
    /// Starts the command; `stage` is how this program calls itself again.
    pub(crate) fn start(
        flags: &Flags,
        stage: &[OsString],
    ) -> Result<(Self, ChildStdout, ChildStderr), StartError> {
        let argv = flags.argv();
        let (Some(program), true) = (argv.first(), argv.first().is_some_and(|p| !p.is_empty()))
        else {
            let sentence = "cannot start: no command was given (-commands)".to_owned();
            return Err(StartError { code: NOT_FOUND, sentence });
        };
        let mut command = if flags.binds.is_empty() {
            let mut command = Command::new(program);
            command.args(&argv[1..]);
            command
        } else {
            namespace::command(stage, &flags.binds, &argv)
        };
        command
            .env("PATH", search_path(std::env::var_os("PATH"), &flags.user_bin))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().map_err(|error| start_error(program, &error))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            unreachable!("both streams were asked for as pipes");
        };
        let pid = Pid::from_raw(child.id().cast_signed());
        Ok((Self { child, pid }, stdout, stderr))
    }

    /// Sends `signal` to the command and what it started.
    pub(crate) fn signal(&self, signal: Signal) {
        // The leader is not reaped before the end, so the group is ours.
        let _ = killpg(self.pid, signal);
    }

    /// Buries orphans (an entrypoint is their parent) and tells whether the
    /// command itself has ended; its own body is left for [`Running::end`].
    pub(crate) fn has_ended(&self) -> bool {
        let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        loop {
            match waitid(Id::All, peek).map(|status| dead(&status)) {
                Ok(Some(pid)) if pid == self.pid => return true,
                Ok(Some(pid)) => {
                    let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
                }
                Ok(None) => return false,
                Err(Errno::EINTR) => {}
                Err(_) => return true,
            }
        }
    }

    /// Ends what the command left behind, and buries it.
    pub(crate) fn end(mut self) -> Ended {
        self.signal(Signal::SIGKILL);
        let ended = match self.child.wait() {
            Ok(status) => Ended::of(status),
            Err(error) => Ended { code: 1, sentence: format!("cannot wait: {error}") },
        };
        orphans::end();
        ended
    }
}

fn dead(status: &WaitStatus) -> Option<Pid> {
    match status {
        WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _) => Some(*pid),
        _ => None,
    }
}

/// How the command ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its code, or 128 and the signal's number.
    pub(crate) code: u8,
    /// `exit status N`, with the signal where there was one.
    pub(crate) sentence: String,
}

impl Ended {
    fn of(status: ExitStatus) -> Self {
        let number = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
        let code = u8::try_from(number).unwrap_or(u8::MAX);
        let sentence = match status.signal() {
            None => format!("exit status {code}"),
            Some(number) => {
                let name = Signal::try_from(number).map_or("", Signal::as_str);
                format!("exit status {code} (ended by signal {number} {name})")
            }
        };
        Self { code, sentence }
    }
}

fn search_path(path: Option<OsString>, user_bin: &Path) -> OsString {
    let mut path = path.unwrap_or_else(|| PATH_DEFAULT.into());
    path.push(":");
    path.push(user_bin);
    path
}

/// Tells why `program` did not start, as a shell would.
pub(crate) fn start_error(program: impl AsRef<OsStr>, error: &std::io::Error) -> StartError {
    let program = program.as_ref();
    let shown = program.to_string_lossy();
    let path = Path::new(program);
    let named = path.components().count() > 1;
    let (code, reason) = match error.kind() {
        ErrorKind::NotFound if named && path.exists() => {
            (NOT_FOUND, "its interpreter or loader is not in this image".to_owned())
        }
        ErrorKind::NotFound if named => (NOT_FOUND, "no such file in this image".to_owned()),
        ErrorKind::NotFound => (NOT_FOUND, "no such program in PATH".to_owned()),
        // A search that met a closed folder says "permission denied" too.
        ErrorKind::PermissionDenied if !named && !in_search_path(path) => {
            (NOT_FOUND, "no such program in PATH".to_owned())
        }
        ErrorKind::PermissionDenied if path.is_dir() => (NOT_EXECUTABLE, "it is a folder".into()),
        ErrorKind::PermissionDenied => {
            (NOT_EXECUTABLE, "it is not executable (chmod +x may help)".to_owned())
        }
        _ => (NOT_EXECUTABLE, error.to_string()),
    };
    StartError { code, sentence: format!("cannot start `{shown}`: {reason}") }
}

fn in_search_path(name: &Path) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into());
    std::env::split_paths(&path).any(|folder| folder.join(name).exists())
}
