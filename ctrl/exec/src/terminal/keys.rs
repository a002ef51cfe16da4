//! From the user to the program.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

use osmo_protocol::terminal::{Input, InputReader, Size};
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::unix::pipe::Sender;
use tokio::time::timeout;

use super::pty::resize;

const READ_BYTES: usize = 16 << 10;
/// How long the rest of a resize may take behind its NUL.
const NUL_LIMIT: Duration = Duration::from_millis(200);
/// The kernel does not always tell when a full PTY has room again.
const LOOK: Duration = Duration::from_millis(20);

/// What the user types.
pub(super) struct Keys {
    stream: OwnedReadHalf,
    reader: InputReader,
    whole: VecDeque<Input>,
    buffer: Vec<u8>,
}

/// The user left.
#[derive(Debug)]
pub(super) struct Left;

impl Keys {
    pub(super) fn new(stream: OwnedReadHalf) -> Self {
        let (reader, whole) = (InputReader::default(), VecDeque::new());
        Self { stream, reader, whole, buffer: vec![0; READ_BYTES] }
    }

    /// The size that the stream begins with; a sentence when it does not.
    pub(super) async fn first(&mut self) -> Result<Size, String> {
        loop {
            if let Some(Input::Size(size)) = self.whole.pop_front() {
                return Ok(size);
            }
            match self.stream.read(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err("the user left before the window's size".to_owned()),
                Ok(count) => {
                    let found = self.reader.push(&self.buffer[..count]);
                    self.whole.extend(found.map_err(|error| error.to_string())?);
                }
            }
        }
    }

    /// Types until the user leaves.
    pub(super) async fn type_into(&mut self, keyboard: &Sender) -> Left {
        loop {
            while let Some(input) = self.whole.pop_front() {
                match input {
                    Input::Size(size) => resize(keyboard, size),
                    Input::Keys(keys) => {
                        if self.write(keyboard, &keys).await.is_err() {
                            return Left;
                        }
                    }
                }
            }
            let read = self.stream.read(&mut self.buffer);
            let read = match self.reader.holds_key() {
                true => timeout(NUL_LIMIT, read).await,
                false => Ok(read.await),
            };
            match read {
                Ok(Ok(0) | Err(_)) => return Left,
                Ok(Ok(count)) => match self.reader.push(&self.buffer[..count]) {
                    Ok(found) => self.whole.extend(found),
                    // Only a stream's begin can be wrong.
                    Err(_) => return Left,
                },
                Err(_) => self.whole.extend(self.reader.release()),
            }
        }
    }

    /// Writes all of `keys`, unless the user leaves while the program reads
    /// nothing.
    async fn write(&self, keyboard: &Sender, mut keys: &[u8]) -> Result<(), Left> {
        while !keys.is_empty() {
            let write = || match keyboard.try_write(keys) {
                // The runtime may not know yet that there is room.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    Ok(rustix::io::write(keyboard, keys)?)
                }
                result => result,
            };
            match write() {
                Ok(count) => keys = &keys[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::select! {
                    // Readable for ever means that the other end is closed.
                    _ = self.stream.ready(Interest::PRIORITY) => return Err(Left),
                    _ = timeout(LOOK, keyboard.writable()) => {}
                },
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Nobody is at the other end; the screen notices that too.
                Err(_) => return Ok(()),
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}
