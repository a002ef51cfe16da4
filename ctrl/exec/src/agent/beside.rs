//! What runs beside the command: the rsync daemon and the checkpoint loops.

use std::ffi::OsString;

use osmo_protocol::socket::Frame;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::checkpoint::Loops;
use crate::flags::Flags;
use crate::rsync::Daemon;

/// Both, from the command's first start to its end for good.
pub(super) struct Beside {
    over: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Beside {
    /// Starts both; `terminated` turns once the pod must go.
    pub(super) fn begin(
        flags: &Flags,
        stage: &[OsString],
        frames: mpsc::Sender<Frame>,
        mut terminated: watch::Receiver<bool>,
    ) -> Self {
        let (over, mut is_over) = watch::channel(false);
        let (flags, stage) = (flags.clone(), stage.to_vec());
        let task = tokio::spawn(async move {
            let rsync = Daemon::start(&flags, &stage, frames.clone()).await;
            let loops = Loops::start(&flags, &stage, frames).await;
            let _ = is_over.wait_for(|over| *over).await;
            let already = *terminated.borrow();
            loops.finish(already, terminated.wait_for(|is| *is)).await;
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
