//! The user's side of the stream, read by the agent.

use serde_json::{Deserializer, Map, Value};

use super::marked::{Piece, cut};
use super::{RESIZE_MARKER, Size, VALUE_BYTES_MAX};

/// What the user sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The window's first or new size.
    Size(Size),
    /// Keystrokes.
    Keys(Vec<u8>),
}

/// The stream does not begin with a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the terminal's stream does not begin with a window size")]
pub struct InputError;

/// Reads the stream, however it is cut. It holds at most one unfinished value.
#[derive(Debug, Default)]
pub struct InputReader {
    pub(super) pending: Vec<u8>,
    begun: bool,
}

impl InputReader {
    /// Takes over `bytes` and returns what is now whole, in order.
    ///
    /// # Errors
    /// The first value is no size.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Input>, InputError> {
        self.pending.extend_from_slice(bytes);
        let (mut whole, mut taken) = (Vec::new(), 0);
        if !self.begun {
            let Some((size, length)) = first(&self.pending)? else { return Ok(whole) };
            whole.push(Input::Size(size));
            (self.begun, taken) = (true, length);
        }
        taken += cut(&self.pending[taken..], RESIZE_MARKER, size, |piece| {
            whole.push(match piece {
                Piece::Bytes(keys) => Input::Keys(keys),
                Piece::Value(size) => Input::Size(size),
            });
        });
        self.pending.drain(..taken);
        Ok(whole)
    }

    /// Whether a lone NUL is held back, which is a keystroke (Control-Space)
    /// unless the rest of a marker follows.
    pub fn holds_key(&self) -> bool {
        self.begun && self.pending == [0]
    }

    /// Gives up waiting for the rest of a marker behind a lone NUL.
    pub fn release(&mut self) -> Option<Input> {
        self.holds_key().then(|| Input::Keys(std::mem::take(&mut self.pending)))
    }
}

/// The stream's first value and its length; `None` while it is not whole.
fn first(bytes: &[u8]) -> Result<Option<(Size, usize)>, InputError> {
    let head = &bytes[..bytes.len().min(VALUE_BYTES_MAX)];
    let mut values = Deserializer::from_slice(head).into_iter::<Map<String, Value>>();
    match values.next() {
        Some(Ok(object)) => Ok(Some((known(&object).ok_or(InputError)?, values.byte_offset()))),
        Some(Err(error)) if !error.is_eof() => Err(InputError),
        _ if bytes.len() >= VALUE_BYTES_MAX => Err(InputError),
        _ => Ok(None),
    }
}

fn size(text: &[u8]) -> Option<Size> {
    known(&serde_json::from_slice(text).ok()?)
}

/// Keys in any case of letters.
fn known(object: &Map<String, Value>) -> Option<Size> {
    let mut size = Size::default();
    for (key, value) in object {
        let number = || value.as_u64().and_then(|number| u16::try_from(number).ok());
        match key.to_ascii_lowercase().as_str() {
            "rows" => size.rows = number()?,
            "cols" => size.cols = number()?,
            "exitcode" => size.exit_code = value.as_bool()?,
            _ => {}
        }
    }
    Some(size)
}
