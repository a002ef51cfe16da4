//! One of the command's streams, from its pipe to the sidecar.
//!
//! The command's end is not the pipe's end: descendants may hold it open. So
//! once the command has ended, only what is in the pipe at that moment is
//! still read.

use std::os::fd::OwnedFd;

use osmo_protocol::socket::Frame;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{mpsc, watch};

use crate::lines::Lines;

const READ_BYTES: usize = 16 << 10;

/// Reads `pipe` until it ends, or until `ended` turns and what was in the pipe
/// then is read.
pub(crate) async fn relay(
    pipe: OwnedFd,
    frame: fn(String) -> Frame,
    frames: mpsc::Sender<Frame>,
    mut ended: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut pipe = Receiver::from_owned_fd(pipe)?;
    let mut lines = Lines::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = tokio::select! {
            count = pipe.read(&mut buffer) => count?,
            _ = ended.wait_for(|ended| *ended) => break,
        };
        if count == 0 {
            break;
        }
        send(&frames, frame, lines.push(&buffer[..count])).await;
    }
    let mut left = rustix::io::ioctl_fionread(&pipe)?;
    while left > 0 {
        // Read past the runtime, which may not know yet that bytes are there.
        let Ok(count @ 1..) = rustix::io::read(&pipe, &mut buffer) else { break };
        left = left.saturating_sub(count as u64);
        send(&frames, frame, lines.push(&buffer[..count])).await;
    }
    send(&frames, frame, lines.finish()).await;
    Ok(())
}

async fn send(
    frames: &mpsc::Sender<Frame>,
    frame: fn(String) -> Frame,
    lines: impl IntoIterator<Item = String>,
) {
    for line in lines {
        // Fails only when the writer is gone, which outlives every stream.
        let _ = frames.send(frame(line)).await;
    }
}
