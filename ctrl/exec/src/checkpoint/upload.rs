//! One upload, by the `osmo` of the pod behind a guard.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use osmo_protocol::socket::Frame;
use tokio::sync::{mpsc, watch};

use super::changes::Changes;
use super::{Checkpoint, LINES_MAX};
use crate::flags::Flags;
use crate::reaper::{Leftovers, Reaper, Tied};
use crate::{guard, stream};

/// Starts uploads and tells their lines.
#[derive(Debug)]
pub(super) struct Uploader {
    stage: Vec<OsString>,
    user_bin: PathBuf,
    reaper: Reaper,
    frames: mpsc::Sender<Frame>,
}

impl Uploader {
    pub(super) fn new(
        flags: &Flags,
        stage: &[OsString],
        reaper: &Reaper,
        frames: mpsc::Sender<Frame>,
    ) -> Self {
        let (stage, user_bin) = (stage.to_vec(), flags.user_bin.clone());
        Self { stage, user_bin, reaper: reaper.clone(), frames }
    }

    /// Uploads `changes` of `checkpoint`, which is at `path`. Dropped, it ends
    /// what it started.
    ///
    /// # Errors
    /// How it ended, where it did not end well.
    pub(super) async fn upload(
        &self,
        checkpoint: &Checkpoint,
        path: &Path,
        changes: &Changes,
    ) -> Result<(), String> {
        let told = |error: std::io::Error| error.to_string();
        let (pipe, writer) = std::io::pipe().map_err(told)?;
        let mut command = self.command(checkpoint, path, changes);
        command.stdout(writer.try_clone().map_err(told)?).stderr(writer);
        let (_, process, mut end) =
            self.reaper.spawn(&mut command, Leftovers::End).map_err(told)?;
        // The command holds the pipe's other end as long as it lives.
        drop(command);
        let _tied = Tied(process);
        let (tell, lines) = mpsc::channel(1);
        let (over, is_over) = watch::channel(false);
        let ended = async {
            let ended = end.wait().await;
            let _ = over.send(true);
            ended
        };
        let relay = stream::relay(pipe.into(), Frame::MessageOps, tell, is_over);
        let (ended, _, ()) = tokio::join!(ended, relay, self.forward(lines));
        if ended.code == 0 { Ok(()) } else { Err(ended.sentence) }
    }

    fn command(&self, checkpoint: &Checkpoint, path: &Path, changes: &Changes) -> Command {
        let own = self.user_bin.join("osmo");
        let program = if own.is_file() { own.into_os_string() } else { "osmo".into() };
        let mut command = guard::command(&self.stage, guard::STAGE);
        command.arg(program).args(["data", "upload"]).arg(&checkpoint.url).arg(path);
        if let Some(regex) = &checkpoint.regex {
            command.arg(format!("--regex={regex}"));
        }
        if let Changes::Some(names) = changes {
            command.args(names.iter().map(|name| format!("--include={}", literal(name))));
        }
        command
    }

    /// Tells the first lines that say something.
    async fn forward(&self, mut lines: mpsc::Receiver<Frame>) {
        let mut count = 0;
        while let Some(line) = lines.recv().await {
            if line == Frame::MessageOps(String::new()) {
                continue;
            }
            count += 1;
            let line = match count {
                ..=LINES_MAX => line,
                _ if count == LINES_MAX + 1 => {
                    Frame::MessageOps("(further lines are left out)".to_owned())
                }
                _ => continue,
            };
            let _ = self.frames.send(line).await;
        }
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
