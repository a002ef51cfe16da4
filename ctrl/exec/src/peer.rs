//! The sidecar, as the agent sees it: frames in, frames out.

use std::io::Write as _;

use osmo_protocol::socket::{Decoder, Frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use crate::complain;

/// Frames that wait for the sidecar; then the command's pipes fill up.
pub const FRAMES_QUEUED_MAX: usize = 64;

const READ_BYTES: usize = 4 << 10;
/// Frames are written together up to this size.
const BATCH_BYTES: usize = 64 << 10;

/// What the sidecar says.
pub(crate) struct Inbox {
    stream: OwnedReadHalf,
    decoder: Decoder,
}

impl Inbox {
    pub(crate) fn new(stream: OwnedReadHalf) -> Self {
        Self { stream, decoder: Decoder::default() }
    }

    /// The next frame; `None` when the sidecar is gone. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let mut buffer = [0; READ_BYTES];
        loop {
            match self.decoder.frame() {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {}
                Err(error) => {
                    complain(&format!("the sidecar cannot be understood: {error}"));
                    return None;
                }
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.decoder.push(&buffer[..count]),
            }
        }
    }
}

/// Writes what arrives until every sender is gone. When the sidecar goes away
/// the command lives on: its lines then appear on the container's own log.
pub(crate) async fn write(mut stream: OwnedWriteHalf, mut frames: mpsc::Receiver<Frame>) {
    while let Some(first) = frames.recv().await {
        let mut batch = vec![first];
        let mut bytes = batch[0].encode();
        while bytes.len() < BATCH_BYTES {
            let Ok(frame) = frames.try_recv() else { break };
            bytes.extend(frame.encode());
            batch.push(frame);
        }
        if let Err(error) = stream.write_all(&bytes).await {
            complain(&format!("the sidecar went away ({error}); lines follow here"));
            batch.iter().for_each(own_log);
            while let Some(frame) = frames.recv().await {
                own_log(&frame);
            }
        }
    }
}

fn own_log(frame: &Frame) {
    let _ = match frame {
        Frame::MessageOut(line) => writeln!(std::io::stdout(), "{line}"),
        Frame::MessageErr(line) | Frame::MessageOps(line) => writeln!(std::io::stderr(), "{line}"),
        Frame::ExecFailed { message, .. } => write!(std::io::stderr(), "{message}"),
        _ => Ok(()),
    };
}
