//! A request's body as it comes: plain, or in the pieces of `aws-chunked` and
//! of HTTP's own chunked coding, which frame alike.

use std::collections::BTreeMap;
use std::io;

const LINE_BYTES_MAX: usize = 8 << 10;

/// Takes the framing away.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    state: State,
    line: Vec<u8>,
    trailer: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a piece: its size in hex, perhaps with a signature.
    Size,
    Data(u64),
    /// The line end that follows a piece's data.
    Gap,
    Trailer,
    End,
}

impl Pieces {
    pub(super) fn new() -> Self {
        Self { state: State::Size, line: Vec::new(), trailer: BTreeMap::new() }
    }

    /// Hands the content of `bytes` to `take`; answers how many bytes were
    /// used, which are all but those after the end.
    pub(super) fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) -> io::Result<usize> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::End {
            if let State::Data(left) = self.state {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                take(&bytes[at..at + here]);
                at += here;
                let left = left - here as u64;
                self.state = if left == 0 { State::Gap } else { State::Data(left) };
                continue;
            }
            let byte = bytes[at];
            at += 1;
            if byte == b'\n' {
                self.end_of_line()?;
            } else if self.line.len() < LINE_BYTES_MAX {
                self.line.push(byte);
            } else {
                return Err(malformed());
            }
        }
        Ok(at)
    }

    /// Whether the last piece and its trailer are through.
    pub(super) fn ended(&self) -> bool {
        self.state == State::End
    }

    /// A field after the last piece; names in lower case.
    pub(super) fn trailer(&self, name: &str) -> Option<&str> {
        self.trailer.get(name).map(String::as_str)
    }

    fn end_of_line(&mut self) -> io::Result<()> {
        let line = String::from_utf8(std::mem::take(&mut self.line)).map_err(|_| malformed())?;
        let line = line.trim_end_matches('\r');
        self.state = match self.state {
            State::Size => {
                let size = line.split(';').next().unwrap_or_default().trim();
                match u64::from_str_radix(size, 16).map_err(|_| malformed())? {
                    0 => State::Trailer,
                    size => State::Data(size),
                }
            }
            State::Gap if line.is_empty() => State::Size,
            State::Trailer if line.is_empty() => State::End,
            State::Trailer => {
                let (name, value) = line.split_once(':').ok_or_else(malformed)?;
                self.trailer.insert(name.to_ascii_lowercase(), value.trim().to_owned());
                State::Trailer
            }
            State::Gap | State::Data(_) | State::End => return Err(malformed()),
        };
        Ok(())
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a chunked body that cannot be read")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn decode(bytes: &[u8], step: usize) -> (Vec<u8>, Pieces) {
        let (mut pieces, mut plain) = (Pieces::new(), Vec::new());
        for piece in bytes.chunks(step) {
            pieces.feed(piece, |data| plain.extend_from_slice(data)).unwrap();
        }
        (plain, pieces)
    }

    // RFC 9112's form with Amazon's chunk signature, and a trailing checksum.
    #[test]
    fn pieces_signatures_and_a_trailer() {
        let body = b"5;chunk-signature=ab12\r\n12345\r\n4\r\n6789\r\n0\r\n\
            x-amz-checksum-crc64nvme:rosUhgp5mIg=\r\n\r\n";
        for step in [1, 2, 7, body.len()] {
            let (plain, pieces) = decode(body, step);
            assert_eq!(plain, b"123456789");
            assert!(pieces.ended());
            assert_eq!(pieces.trailer("x-amz-checksum-crc64nvme"), Some("rosUhgp5mIg="));
        }
    }

    #[test]
    fn what_follows_is_left() {
        let mut pieces = Pieces::new();
        assert_eq!(pieces.feed(b"0\r\n\r\nGET /", |_| ()).unwrap(), 5);
        assert!(pieces.ended());
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Pieces::new().feed(b"xyz\r\n", |_| ()).is_err());
        assert!(Pieces::new().feed(b"2\r\nabc\r\n", |_| ()).is_err());
        assert!(Pieces::new().feed(&[b'1'; 9000], |_| ()).is_err());
        let (_, cut) = decode(b"5\r\n123", 64);
        assert!(!cut.ended());
    }
}
