//! The chunked transfer coding (RFC 9112 §7.1), bounded.

use super::body::BodyFault;

/// A chunk's size line with its extensions; ours to refuse beyond this.
const SIZE_LINE_BYTES_MAX: u32 = 1 << 10;
/// All trailer lines together.
const TRAILER_BYTES_MAX: u32 = 8 << 10;
/// Hexadecimal digits of a size: 2⁶⁰ bytes are more than any object has.
const SIZE_DIGITS_MAX: u32 = 15;

/// The decoder's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunked {
    at: At,
    /// Bytes left of this chunk's data, or its size so far.
    left: u64,
    /// Bytes of the current line, or of all trailers.
    line_bytes: u32,
    digits: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    /// Between the digits and the extension or line end.
    Gap,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the first byte of a trailer line.
    TrailerStart,
    Trailer,
    LastLf,
    Done,
}

impl Chunked {
    /// Whether the last chunk and its trailers have been read.
    pub fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Decodes in place: content moves to the beginning of `bytes`. Answers
    /// bytes used (all of them, unless the body ended) and bytes made.
    ///
    /// # Errors
    /// The coding is malformed or a line too long.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<(usize, usize), BodyFault> {
        let (mut used, mut made) = (0, 0);
        while used < bytes.len() && !self.is_done() {
            if self.at != At::Data {
                self.step(bytes[used])?;
                used += 1;
                continue;
            }
            let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - used);
            bytes.copy_within(used..used + taken, made);
            used += taken;
            made += taken;
            self.left -= taken as u64;
            if self.left == 0 {
                self.at = At::DataCr;
            }
        }
        Ok((used, made))
    }

    fn step(&mut self, byte: u8) -> Result<(), BodyFault> {
        self.line_bytes += 1;
        let trailer = matches!(self.at, At::TrailerStart | At::Trailer | At::LastLf);
        if self.line_bytes > if trailer { TRAILER_BYTES_MAX } else { SIZE_LINE_BYTES_MAX } {
            return Err(BodyFault::ChunkInvalid);
        }
        self.at = match (self.at, byte) {
            (At::Size, digit) if digit.is_ascii_hexdigit() => self.digit(digit)?,
            (At::Size | At::Gap | At::Extension, b'\r') if self.digits > 0 => At::SizeLf,
            (At::Size | At::Gap, b';') if self.digits > 0 => At::Extension,
            (At::Size | At::Gap, b' ' | b'\t') if self.digits > 0 => At::Gap,
            (At::Extension, byte) if byte != b'\n' => At::Extension,
            (At::SizeLf, b'\n') => self.size_line_ended(),
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.line_bytes = 0;
                At::Size
            }
            (At::TrailerStart, b'\r') => At::LastLf,
            (At::Trailer, b'\n') => At::TrailerStart,
            (At::TrailerStart | At::Trailer, byte) if byte != b'\n' => At::Trailer,
            (At::LastLf, b'\n') => At::Done,
            _ => return Err(BodyFault::ChunkInvalid),
        };
        Ok(())
    }

    fn digit(&mut self, digit: u8) -> Result<At, BodyFault> {
        let value = char::from(digit).to_digit(16).ok_or(BodyFault::ChunkInvalid)?;
        self.digits += 1;
        if self.digits > SIZE_DIGITS_MAX {
            return Err(BodyFault::ChunkInvalid);
        }
        self.left = self.left * 16 + u64::from(value);
        Ok(At::Size)
    }

    fn size_line_ended(&mut self) -> At {
        self.line_bytes = 0;
        self.digits = 0;
        if self.left == 0 { At::TrailerStart } else { At::Data }
    }
}
