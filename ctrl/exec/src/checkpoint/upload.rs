//! One upload, by the `osmo` of the pod.
//!
//! The agent buries every orphan and with it, now and then, a child that
//! somebody waits for. So a stage of this program starts `osmo`, waits for it,
//! and says on the pipe how it ended; the agent needs no exit status.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use osmo_protocol::socket::Frame;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::changes::Changes;
use super::{Checkpoint, LINES_MAX};
use crate::flags::Flags;
use crate::lines::Lines;

/// The private first argument that turns this program into the stage.
pub(crate) const STAGE: &str = "--osmo-exec-upload";
/// Begins the stage's last line.
const ENDED: &str = "\u{1}osmo-exec-upload ended: ";
const READ_BYTES: usize = 4 << 10;

/// The stage's main: runs the words as a command, both streams on one pipe.
pub(crate) fn stage(words: &[OsString]) -> u8 {
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    let Some((program, args)) = words.split_first() else { return 2 };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    let end = match command.status() {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        },
        Err(error) => format!("cannot start {}: {error}", program.display()),
    };
    let _ = writeln!(std::io::stdout(), "\n{ENDED}{end}");
    0
}

/// Starts uploads and tells their lines.
#[derive(Debug)]
pub(super) struct Uploader {
    stage: Vec<OsString>,
    user_bin: PathBuf,
    frames: mpsc::Sender<Frame>,
}

/// Kills the upload's group when a round is dropped before its end.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Uploader {
    pub(super) fn new(flags: &Flags, stage: &[OsString], frames: mpsc::Sender<Frame>) -> Self {
        Self { stage: stage.to_vec(), user_bin: flags.user_bin.clone(), frames }
    }

    /// Uploads `changes` of `checkpoint`.
    ///
    /// # Errors
    /// How it ended, where it did not end well.
    pub(super) async fn upload(
        &self,
        checkpoint: &Checkpoint,
        changes: &Changes,
    ) -> Result<(), String> {
        let (mut pipe, end) = std::io::pipe().map_err(|error| error.to_string())?;
        let mut command = self.command(checkpoint, changes);
        let errors = end.try_clone().map_err(|error| error.to_string())?;
        command.stdin(Stdio::null()).stdout(end).stderr(errors).process_group(0);
        let mut command = tokio::process::Command::from(command);
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        // The command holds the pipe's other end as long as it lives.
        drop(command);
        let mut group = Group(child.id().map(|id| Pid::from_raw(id.cast_signed())));
        let told = self.relay(&mut pipe).await;
        // Said before anybody may bury the leader; the group has no more members.
        let _ = child.wait().await;
        group.0 = None;
        match told.as_deref() {
            Some("exit status 0") => Ok(()),
            Some(end) => Err(end.to_owned()),
            None => Err("the upload was killed".into()),
        }
    }

    fn command(&self, checkpoint: &Checkpoint, changes: &Changes) -> Command {
        let own = self.user_bin.join("osmo");
        let program = if own.is_file() { own.into_os_string() } else { "osmo".into() };
        let mut command = Command::new("/proc/self/exe");
        if let Some((name, words)) = self.stage.split_first() {
            command.arg0(name).args(words);
        }
        command.arg(STAGE).arg(program).args(["data", "upload"]);
        command.arg(&checkpoint.url).arg(&checkpoint.path);
        if let Some(regex) = &checkpoint.regex {
            command.arg(format!("--regex={regex}"));
        }
        if let Changes::Some(names) = changes {
            command.args(names.iter().map(|name| format!("--include={}", literal(name))));
        }
        command
    }

    /// Tells the lines; returns what the stage said at the end.
    async fn relay(&self, pipe: &mut std::io::PipeReader) -> Option<String> {
        let pipe = pipe.try_clone().ok()?;
        let mut pipe = tokio::net::unix::pipe::Receiver::from_owned_fd(pipe.into()).ok()?;
        let (mut lines, mut buffer) = (Lines::default(), vec![0; READ_BYTES]);
        let mut count = 0;
        while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
            for line in lines.push(&buffer[..read]) {
                if let Some(end) = line.strip_prefix(ENDED) {
                    return Some(end.to_owned());
                }
                count += usize::from(!line.is_empty());
                let line = match count {
                    _ if line.is_empty() => continue,
                    ..=LINES_MAX => line,
                    _ if count == LINES_MAX + 1 => "(further lines are left out)".into(),
                    _ => continue,
                };
                let _ = self.frames.send(Frame::MessageOps(line)).await;
            }
        }
        None
    }
}

/// A glob that matches `name` and nothing else.
fn literal(name: &str) -> String {
    let mut glob = String::with_capacity(name.len());
    for letter in name.chars() {
        if "*?[]{}\\!,".contains(letter) {
            glob.push('\\');
        }
        glob.push(letter);
    }
    glob
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_is_matched_as_it_is() {
        assert_eq!(super::literal("a*[1]{x}\\/b"), "a\\*\\[1\\]\\{x\\}\\\\/b");
    }
}
