//! The first words of a connection, and the frames after them.

use std::time::Duration;

use osmo_protocol::socket::{Decoder, Frame, FrameError};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

const GREETING_LIMIT: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 32 << 10;

/// The main connection, accepted.
#[derive(Debug)]
pub(crate) struct Main {
    frames: Frames,
    writer: OwnedWriteHalf,
}

impl Main {
    pub(crate) fn split(self) -> (Frames, OwnedWriteHalf) {
        (self.frames, self.writer)
    }
}

/// What the agent says.
#[derive(Debug)]
pub(crate) struct Frames {
    stream: OwnedReadHalf,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Frames {
    /// The next frame; `None` at the end of the connection. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(frame) = self.decoder.frame()? {
                return Ok(Some(frame));
            }
            match self.stream.read(&mut self.buffer).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(count) => self.decoder.push(&self.buffer[..count]),
            }
        }
    }
}

/// Checks a new connection; the error says why it is turned away.
pub(crate) async fn greet(stream: UnixStream, token: Option<&str>) -> Result<Main, String> {
    let who = match stream.peer_cred() {
        Ok(cred) => format!("uid {}", cred.uid()),
        Err(error) => return Err(format!("its credentials are unknown: {error}")),
    };
    let (reader, writer) = stream.into_split();
    let decoder = Decoder::default();
    let mut frames = Frames { stream: reader, decoder, buffer: vec![0; READ_BYTES] };
    if let Some(token) = token {
        match timeout(GREETING_LIMIT, frames.next()).await {
            Ok(Ok(Some(Frame::Hello { token: shown, .. }))) if is_same(&shown, token) => {}
            Ok(Ok(Some(Frame::Hello { .. }))) => return Err(format!("{who} has another token")),
            Ok(Ok(Some(_))) => return Err(format!("{who} did not say Hello first")),
            Ok(Ok(None)) => return Err(format!("{who} left without a word")),
            Ok(Err(error)) => return Err(format!("{who}: {error}")),
            Err(_) => return Err(format!("{who} said nothing")),
        }
    }
    Ok(Main { frames, writer })
}

/// Compares without telling by its duration where the difference is.
fn is_same(left: &str, right: &str) -> bool {
    let pairs = left.bytes().zip(right.bytes());
    left.len() == right.len() && pairs.fold(0, |all, (a, b)| all | (a ^ b)) == 0
}
