//! The user's command: how it is started, and why it was not.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStderr, ChildStdout, Command, Stdio};

use crate::flags::Flags;
use crate::namespace;
use crate::reaper::{End, Leftovers, Process, Reaper};

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

/// A started command: leader of its own process group. Once it is dead it is to be
/// buried, which ends the group.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) end: End,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

impl Running {
    /// Starts the command; `stage` is how this program calls itself again.
    pub(crate) fn start(
        flags: &Flags,
        stage: &[OsString],
        reaper: &Reaper,
    ) -> Result<Self, StartError> {
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
            .stdin(nothing().map_err(|error| start_error(program, &error))?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let (mut child, process, end) = reaper
            .spawn(&mut command, Leftovers::Finish)
            .map_err(|error| start_error(program, &error))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            unreachable!("both streams were asked for as pipes");
        };
        Ok(Self { process, end, stdout, stderr })
    }
}

/// An input without a byte; an empty image has no `/dev/null`.
fn nothing() -> std::io::Result<Stdio> {
    match std::fs::File::open("/dev/null") {
        Ok(null) => Ok(null.into()),
        Err(_) => Ok(std::io::pipe()?.0.into()),
    }
}

/// `path` with the folder of the user's programs at its end.
pub(crate) fn search_path(path: Option<OsString>, user_bin: &Path) -> OsString {
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
