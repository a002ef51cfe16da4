//! Finds the objects in a stream of bytes, however the reads cut it.

use super::{Frame, Wire};

/// Bytes of one object at most: a line of 32 KiB whose every byte is escaped
/// takes 192 KiB.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Why a stream cannot be read on; the connection is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Between two objects stands something that begins no object.
    #[error("expected a JSON object, found byte {0:#04x}")]
    NoObject(u8),
    /// The braces match, but it is not the object that was expected.
    #[error("malformed JSON object: {0}")]
    Malformed(String),
    /// The object does not end.
    #[error("an object is longer than {FRAME_BYTES_MAX} bytes")]
    TooLong,
}

/// The reading half: [`Decoder::push`] what arrived, then take frames until
/// there is none. It holds at most one unfinished object and what arrived last.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Bytes before this index belong to frames already taken.
    start: usize,
    /// Bytes before this index have been looked at.
    seen: usize,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Decoder {
    /// Takes over what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole object, if there is one.
    ///
    /// # Errors
    /// The stream is broken for good.
    pub fn frame(&mut self) -> Result<Option<Frame>, FrameError> {
        while let Some(&byte) = self.bytes.get(self.seen) {
            self.seen += 1;
            if self.depth == 0 {
                match byte {
                    b'{' => (self.depth, self.start) = (1, self.seen - 1),
                    byte if byte.is_ascii_whitespace() => self.start = self.seen,
                    byte => return Err(FrameError::NoObject(byte)),
                }
            } else if self.closes(byte) {
                let object = &self.bytes[self.start..self.seen];
                let frame = serde_json::from_slice::<Wire>(object)
                    .map_err(|error| FrameError::Malformed(error.to_string()))?;
                self.start = self.seen;
                return Ok(Some(frame.into()));
            }
        }
        if self.seen - self.start > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong);
        }
        Ok(None)
    }

    /// What came after the last object taken: the stream is no longer JSON.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.bytes.split_off(self.start)
    }

    /// Whether `byte` ends the object.
    fn closes(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        self.depth == 0
    }
}
