//! What runs beside the command: the rsync daemon and the checkpoint loops.
//! Both begin with the first start and end with the command's end for good; a
//! command that is stopped and started again finds them as they were.

use std::ffi::OsString;

use osmo_protocol::socket::Frame;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::checkpoint::Loops;
use crate::flags::Flags;
use crate::reaper::Reaper;
use crate::rsync::Daemon;

/// Both, at work.
pub(super) struct Beside {
    over: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Beside {
    /// Starts both; `leave` tells by when the pod must go.
    pub(super) fn begin(
        flags: &Flags,
        stage: &[OsString],
        reaper: &Reaper,
        frames: mpsc::Sender<Frame>,
        leave: watch::Receiver<Option<Instant>>,
    ) -> Self {
        let (over, mut is_over) = watch::channel(false);
        let (flags, stage, reaper) = (flags.clone(), stage.to_vec(), reaper.clone());
        let task = tokio::spawn(async move {
            let rsync = Daemon::start(&flags, &stage, &reaper, frames.clone()).await;
            let loops = Loops::start(&flags, &stage, &reaper, frames).await;
            let _ = is_over.wait_for(|over| *over).await;
            loops.finish(leave).await;
            if let Some(rsync) = rsync {
                rsync.stop().await;
            }
        });
        Self { over, task }
    }

    /// Runs the last checkpoints, then ends both.
    pub(super) async fn end(self) {
        let _ = self.over.send(true);
        let _ = self.task.await;
    }
}
