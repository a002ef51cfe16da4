//! The user's side of the stream, read by the agent.

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

/// Reads the stream, however it is cut.
#[derive(Debug, Default)]
pub struct InputReader {
    pending: Vec<u8>,
    begun: bool,
}

impl InputReader {
    /// Takes over `bytes` and returns what is now whole, in order.
    ///
    /// # Errors
    /// The first value is no size.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Input>, InputError> {
        self.pending.extend_from_slice(bytes);
        let mut whole = Vec::new();
        if !self.begun {
            let Some(size) = self.first()? else { return Ok(whole) };
            whole.push(Input::Size(size));
        }
        self.later(&mut whole);
        Ok(whole)
    }

    fn first(&mut self) -> Result<Option<Size>, InputError> {
        let Some(end) = self.pending.iter().position(|&byte| byte == b'}') else {
            let too_long = self.pending.len() > VALUE_BYTES_MAX;
            return if too_long { Err(InputError) } else { Ok(None) };
        };
        let size = size(&self.pending[..=end]).ok_or(InputError)?;
        self.pending.drain(..=end);
        self.begun = true;
        Ok(Some(size))
    }

    /// Cuts `pending` into keys and sizes; what may become a marker stays.
    fn later(&mut self, whole: &mut Vec<Input>) {
        let mut keys = Vec::new();
        while let Some(nul) = self.pending.iter().position(|&byte| byte == 0) {
            keys.extend(self.pending.drain(..nul));
            match resize(&self.pending) {
                Found::More => break,
                Found::Nothing => keys.extend(self.pending.drain(..1)),
                Found::Size(size, length) => {
                    self.pending.drain(..length);
                    if !keys.is_empty() {
                        whole.push(Input::Keys(std::mem::take(&mut keys)));
                    }
                    whole.push(Input::Size(size));
                }
            }
        }
        if self.pending.first() != Some(&0) {
            keys.append(&mut self.pending);
        }
        if !keys.is_empty() {
            whole.push(Input::Keys(keys));
        }
    }
}

enum Found {
    /// A marker, perhaps.
    More,
    /// No marker.
    Nothing,
    /// A size, and how many bytes it took.
    Size(Size, usize),
}

/// What `bytes`, which begin with a NUL, begin with.
fn resize(bytes: &[u8]) -> Found {
    let common = bytes.len().min(RESIZE_MARKER.len());
    if bytes[..common] != RESIZE_MARKER[..common] {
        return Found::Nothing;
    }
    let value = &bytes[common..];
    match value.iter().take(VALUE_BYTES_MAX).position(|&byte| byte == b'}') {
        Some(end) => match size(&value[..=end]) {
            Some(size) => Found::Size(size, common + end + 1),
            None => Found::Nothing,
        },
        None if value.len() >= VALUE_BYTES_MAX => Found::Nothing,
        None => Found::More,
    }
}

/// Keys in any case of letters.
fn size(text: &[u8]) -> Option<Size> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(text).ok()?;
    let mut size = Size::default();
    for (key, value) in &object {
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
