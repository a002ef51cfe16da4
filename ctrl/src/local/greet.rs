//! The first words of a connection, and the frames after them.

use std::time::Duration;

use osmo_protocol::socket::{Decoder, Frame, FrameError};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::terminal::{Terminal, terminal};

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
    fn new(stream: OwnedReadHalf) -> Self {
        Self { stream, decoder: Decoder::default(), buffer: vec![0; READ_BYTES] }
    }

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

/// Checks the connection that is to be the main one; the error says why it is
/// turned away.
pub(crate) async fn greet(stream: UnixStream, token: Option<&str>) -> Result<Main, String> {
    let who = who(&stream)?;
    let (reader, writer) = stream.into_split();
    let mut frames = Frames::new(reader);
    if let Some(token) = token {
        match hello(&mut frames, Some(token), &who).await? {
            None => {}
            Some(_) => return Err(format!("{who} brings a terminal that nobody asked for")),
        }
    }
    Ok(Main { frames, writer })
}

/// Checks a later connection: the terminal that it carries, and its stream.
pub(crate) async fn greet_terminal(
    stream: UnixStream,
    token: Option<&str>,
) -> Result<(u64, Terminal), String> {
    let who = who(&stream)?;
    let (reader, writer) = stream.into_split();
    let mut frames = Frames::new(reader);
    let Some(session) = hello(&mut frames, token, &who).await? else {
        return Err(format!("{who} wants to be the agent, and there is one"));
    };
    let rest = frames.decoder.into_rest();
    let stream = frames.stream.reunite(writer).map_err(|error| error.to_string())?;
    Ok((session, terminal(stream, rest)))
}

fn who(stream: &UnixStream) -> Result<String, String> {
    match stream.peer_cred() {
        Ok(cred) => Ok(format!("uid {}", cred.uid())),
        Err(error) => Err(format!("its credentials are unknown: {error}")),
    }
}

/// Reads `Hello` and compares the token, where there is one.
async fn hello(frames: &mut Frames, token: Option<&str>, who: &str) -> Result<Option<u64>, String> {
    match timeout(GREETING_LIMIT, frames.next()).await {
        Ok(Ok(Some(Frame::Hello { token: shown, session }))) => {
            match token.is_none_or(|token| is_same(&shown, token)) {
                true => Ok(session),
                false => Err(format!("{who} has another token")),
            }
        }
        Ok(Ok(Some(_))) => Err(format!("{who} did not say Hello first")),
        Ok(Ok(None)) => Err(format!("{who} left without a word")),
        Ok(Err(error)) => Err(format!("{who}: {error}")),
        Err(_) => Err(format!("{who} said nothing")),
    }
}

/// Compares without telling by its duration where the difference is.
fn is_same(left: &str, right: &str) -> bool {
    let pairs = left.bytes().zip(right.bytes());
    left.len() == right.len() && pairs.fold(0, |all, (a, b)| all | (a ^ b)) == 0
}
