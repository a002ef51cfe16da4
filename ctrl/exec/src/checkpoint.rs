//! Checkpoint loops: what changed below a folder goes to a store while the
//! command runs, and once more when it has ended.
//!
//! ```text
//!   sleep N s ─► changed? ─► osmo data upload URL PATH ─► sleep N s ─► …
//!      ▲  the command ended                    │ failed: say why, wait longer
//!      └──────────► one last round ◄───────────┘
//! ```
//!
//! A loop is one task, so its rounds never overlap: the next begins N seconds
//! after the last one ended. A failed round costs a line and a longer wait,
//! never the command.
//!
//! A path that leads through links is followed at each round: names below it
//! begin with the base name of what it leads to.
//!
//! Limits: [`LOOPS_MAX`] loops; [`LINES_MAX`] of a round's lines are told; once
//! the pod must go, the last rounds have what is left of its time.

mod changes;
mod upload;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use osmo_protocol::socket::Frame;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::flags::Flags;
use crate::reaper::Reaper;
use changes::{Changes, Seen};
use upload::Uploader;

/// Loops of one command.
const LOOPS_MAX: usize = 64;
/// Lines of one round that are told.
const LINES_MAX: usize = 100;
/// The longest wait after failures, unless the loop's own is longer.
const BACKOFF_MAX: Duration = Duration::from_secs(3600);

/// One loop, as told on the command line.
#[derive(Debug, PartialEq, Eq)]
struct Checkpoint {
    path: PathBuf,
    url: String,
    every: Duration,
    regex: Option<String>,
}

impl Checkpoint {
    /// Reads `path;url;seconds;regex`; the regex may hold further `;`.
    fn read(text: &str) -> Result<Self, String> {
        let mut words = text.splitn(4, ';');
        let (Some(path), Some(url), Some(seconds)) = (words.next(), words.next(), words.next())
        else {
            return Err("expected path;url;seconds;regex".into());
        };
        if path.is_empty() || url.is_empty() || path.starts_with('-') || url.starts_with('-') {
            return Err("path and url must be given".into());
        }
        let seconds = seconds.trim().parse().ok().filter(|&seconds| seconds > 0);
        let seconds = seconds.ok_or("seconds must be a whole number above 0")?;
        let regex = words.next().filter(|regex| !regex.is_empty()).map(str::to_owned);
        Ok(Self {
            path: path.into(),
            url: url.to_owned(),
            every: Duration::from_secs(seconds),
            regex,
        })
    }
}

/// The loops of a running command; dropped, they end with what they started.
#[derive(Debug)]
pub(crate) struct Loops {
    ended: watch::Sender<bool>,
    tasks: JoinSet<()>,
    frames: mpsc::Sender<Frame>,
}

impl Loops {
    /// Starts one loop for each checkpoint of the flags; one that cannot be
    /// understood is told, and the others go on.
    pub(crate) async fn start(
        flags: &Flags,
        stage: &[OsString],
        reaper: &Reaper,
        frames: mpsc::Sender<Frame>,
    ) -> Self {
        let (ended, has_ended) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for text in &flags.checkpoints {
            let checkpoint = match Checkpoint::read(text) {
                Ok(_) if tasks.len() == LOOPS_MAX => Err(format!("more than {LOOPS_MAX}")),
                other => other,
            };
            match checkpoint {
                Ok(checkpoint) => {
                    let uploader = Uploader::new(flags, stage, reaper, frames.clone());
                    let seen = Seen::default();
                    let each = Loop { checkpoint, uploader, seen, frames: frames.clone() };
                    tasks.spawn(each.run(has_ended.clone()));
                }
                Err(reason) => {
                    let line = format!("Checkpoint `{text}` is not taken: {reason}");
                    let _ = frames.send(Frame::MessageOps(line)).await;
                }
            }
        }
        Self { ended, tasks, frames }
    }

    /// Runs the last rounds, until the time that `leave` tells; what does not
    /// fit is told.
    pub(crate) async fn finish(mut self, mut leave: watch::Receiver<Option<Instant>>) {
        let _ = self.ended.send(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let late = tokio::select! {
            () = all => false,
            () = overdue(&mut leave) => true,
        };
        if late {
            // Their programs end with them.
            self.tasks.shutdown().await;
            let line = "Checkpointing did not finish before the task had to end".to_owned();
            let _ = self.frames.try_send(Frame::MessageOps(line));
        }
    }
}

/// Returns at the time that `leave` tells, as soon as there is one.
async fn overdue(leave: &mut watch::Receiver<Option<Instant>>) {
    loop {
        let told = *leave.borrow_and_update();
        let time_is_up = async {
            match told {
                Some(instant) => sleep_until(instant).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time_is_up => return,
            Ok(()) = leave.changed() => {}
        }
    }
}

/// One loop at work.
struct Loop {
    checkpoint: Checkpoint,
    uploader: Uploader,
    seen: Seen,
    frames: mpsc::Sender<Frame>,
}

impl Loop {
    async fn run(mut self, mut ended: watch::Receiver<bool>) {
        let mut wait = self.checkpoint.every;
        loop {
            let last = tokio::select! {
                () = tokio::time::sleep(wait) => false,
                _ = ended.wait_for(|ended| *ended) => true,
            };
            let done = self.round().await;
            if last {
                if done {
                    self.tell(" finished").await;
                }
                return;
            }
            wait = match done {
                true => self.checkpoint.every,
                false => wait.saturating_mul(2).min(BACKOFF_MAX.max(self.checkpoint.every)),
            };
        }
    }

    /// Uploads what changed; tells whether it is all there now.
    async fn round(&mut self) -> bool {
        self.tell("...").await;
        let (path, before) = (self.checkpoint.path.clone(), std::mem::take(&mut self.seen));
        let looked = tokio::task::spawn_blocking(move || {
            let (changes, now) = match path.canonicalize() {
                Ok(path) => {
                    let (changes, now) = Changes::below(&path, &before);
                    (changes.map(|changes| (path, changes)), now)
                }
                Err(error) => (Err(error), Seen::default()),
            };
            (changes, now, before)
        });
        let (path, changes, now, before) = match looked.await {
            Ok((Ok((path, changes)), now, before)) => (path, changes, now, before),
            Ok((Err(error), _, before)) => {
                self.seen = before;
                return self.failed(&error.to_string()).await;
            }
            Err(error) => return self.failed(&error.to_string()).await,
        };
        if changes == Changes::None {
            self.seen = now;
            return true;
        }
        match self.uploader.upload(&self.checkpoint, &path, &changes).await {
            Ok(()) => {
                self.seen = now;
                true
            }
            Err(reason) => {
                self.seen = before;
                self.failed(&reason).await
            }
        }
    }

    async fn failed(&self, reason: &str) -> bool {
        self.tell(&format!(" failed, and is tried again while the task runs: {reason}")).await;
        false
    }

    async fn tell(&self, rest: &str) {
        let Checkpoint { path, url, .. } = &self.checkpoint;
        let line = format!("Checkpointing data from {} to {url}{rest}", path.display());
        let _ = self.frames.send(Frame::MessageOps(line)).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Checkpoint;

    #[test]
    fn the_contract_s_example_is_understood() {
        let read = |text| Checkpoint::read(text);
        let one = read("/osmo/data/output/ckpt;s3://b/ck;600;.*").unwrap();
        assert_eq!((one.every.as_secs(), one.regex.as_deref()), (600, Some(".*")));
        assert_eq!(read("/a;s3://b;5;").unwrap().regex, None);
        assert_eq!(read("/a;s3://b;5").unwrap().regex, None);
        assert_eq!(read("/a;s3://b;5;x;y").unwrap().regex.as_deref(), Some("x;y"));
        for bad in ["", "/a", "/a;s3://b", "/a;s3://b;x;", "/a;s3://b;0;", ";s3://b;1;", "/a;;1;"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
