//! What the sidecar says, frame by frame.

use osmo_protocol::socket::{Decoder, Frame};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::OwnedReadHalf;

use crate::complain;

const READ_BYTES: usize = 4 << 10;

/// The reading half of the main connection.
pub(super) struct Inbox {
    stream: OwnedReadHalf,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Inbox {
    pub(super) fn new(stream: OwnedReadHalf) -> Self {
        Self { stream, decoder: Decoder::default(), buffer: vec![0; READ_BYTES] }
    }

    /// The next frame; `None` when the sidecar is gone. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            match self.decoder.frame() {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {}
                Err(error) => {
                    complain(&format!("the sidecar cannot be understood: {error}"));
                    return None;
                }
            }
            match self.stream.read(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.decoder.push(&self.buffer[..count]),
            }
        }
    }
}
