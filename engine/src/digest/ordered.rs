//! Digests of bytes in order: of all of them, or of part after part.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::digest::{Algorithm, Digest};

/// Bytes of the longest value.
const VALUE_BYTES_MAX: usize = 32;

/// A checksum that can be computed over bytes in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// One that could also be put together in any order.
    Crc(Algorithm),
    /// SHA-256.
    Sha256,
    /// SHA-1.
    Sha1,
    /// MD5, the one of entity tags.
    Md5,
}

impl Method {
    /// All of them, what is preferred first.
    pub const ALL: [Self; 6] = [
        Self::Crc(Algorithm::Crc64Nvme),
        Self::Crc(Algorithm::Crc32c),
        Self::Crc(Algorithm::Crc32),
        Self::Sha256,
        Self::Sha1,
        Self::Md5,
    ];

    /// The name in lower case, as in `x-amz-checksum-…`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc(algorithm) => algorithm.name(),
            Self::Sha256 => "sha256",
            Self::Sha1 => "sha1",
            Self::Md5 => "md5",
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Crc(algorithm) => algorithm.width(),
            Self::Sha256 => 32,
            Self::Sha1 => 20,
            Self::Md5 => 16,
        }
    }

    /// Reads a value in base64; `None` for one of another width.
    pub fn decode(self, text: &str) -> Option<Value> {
        let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == self.width())?;
        Some(Value::of(&bytes))
    }

    /// The value that `bytes` begin with; `None` for fewer than it has.
    pub(super) fn value(self, bytes: &[u8]) -> Option<Value> {
        bytes.get(..self.width()).map(Value::of)
    }

    /// The value over the values of parts: what stores call composite.
    pub fn of_parts<'a>(self, parts: impl IntoIterator<Item = &'a Value>) -> Value {
        let mut under = Under::new(self);
        parts.into_iter().for_each(|value| under.update(value.as_ref()));
        under.take()
    }
}

/// What a [`Method`] makes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    bytes: [u8; VALUE_BYTES_MAX],
    width: u8,
}

impl Value {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut value = Self { bytes: [0; VALUE_BYTES_MAX], width: 0 };
        for (place, byte) in value.bytes.iter_mut().zip(bytes) {
            *place = *byte;
            value.width += 1;
        }
        value
    }

    /// The number that a CRC is.
    pub(super) fn number(&self) -> u64 {
        self.as_ref().iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// As people compare it: an MD5 as entity tags have it, others in base64.
    pub fn shown(&self, method: Method) -> String {
        match method {
            Method::Md5 => self.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
            _ => STANDARD.encode(self),
        }
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.width)).unwrap_or_default()
    }
}

/// One digest under way.
#[derive(Clone, Debug)]
enum Under {
    Crc(Box<Digest>),
    Sha256(Sha256),
    Sha1(Sha1),
    Md5(Md5),
}

impl Under {
    fn new(method: Method) -> Self {
        match method {
            Method::Crc(algorithm) => Self::Crc(Box::new(Digest::new(algorithm))),
            Method::Sha256 => Self::Sha256(Sha256::new()),
            Method::Sha1 => Self::Sha1(Sha1::new()),
            Method::Md5 => Self::Md5(Md5::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(digest) => digest.update(bytes),
            Self::Sha256(digest) => digest.update(bytes),
            Self::Sha1(digest) => digest.update(bytes),
            Self::Md5(digest) => digest.update(bytes),
        }
    }

    /// The value so far; then begins anew.
    fn take(&mut self) -> Value {
        match self {
            Self::Crc(digest) => {
                let algorithm = digest.algorithm();
                let ended = std::mem::replace(&mut **digest, Digest::new(algorithm));
                let bytes = ended.value().to_be_bytes();
                Value::of(bytes.get(bytes.len() - algorithm.width()..).unwrap_or_default())
            }
            Self::Sha256(digest) => Value::of(&digest.finalize_reset()),
            Self::Sha1(digest) => Value::of(&digest.finalize_reset()),
            Self::Md5(digest) => Value::of(&digest.finalize_reset()),
        }
    }
}

/// Values of equal parts, the last one shorter.
#[derive(Clone, Debug)]
pub struct Ordered {
    part_bytes: u64,
    under: Under,
    /// Bytes that the current part still takes.
    room: u64,
    values: Vec<Value>,
}

impl Ordered {
    pub(super) fn new(method: Method, part_bytes: u64) -> Self {
        Self { part_bytes, under: Under::new(method), room: part_bytes, values: Vec::new() }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.room == 0 {
                self.turn();
            }
            let count = usize::try_from(self.room).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(count);
            self.under.update(now);
            self.room -= count as u64;
            bytes = later;
        }
    }

    fn turn(&mut self) {
        self.values.push(self.under.take());
        self.room = self.part_bytes;
    }

    /// The values, in order.
    pub(super) fn finish(mut self) -> Vec<Value> {
        self.turn();
        self.values
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // Check values of the CRC catalogue; the others are of coreutils
    // (`printf 123456789 | sha256sum | xxd -r -p | base64`).
    #[test]
    fn methods_agree_with_tools() {
        for (name, text) in [
            ("crc64nvme", "rosUhgp5mIg="),
            ("crc32c", "4waSgw=="),
            ("crc32", "y/Q5Jg=="),
            ("sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
            ("sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
            ("md5", "JfnnlDI7RTiF9RgfG2JNCw=="),
        ] {
            let method = Method::ALL.into_iter().find(|method| method.name() == name).unwrap();
            let mut ordered = Ordered::new(method, u64::MAX);
            ordered.update(b"123456789");
            assert_eq!(ordered.finish(), [method.decode(text).unwrap()], "{name}");
        }
        assert_eq!(Method::Sha1.decode("y/Q5Jg=="), None);
    }

    // Of `printf abcdefghi | split -b 4`, each tool over each piece, then over the
    // three in binary.
    #[test]
    fn parts_are_digested_one_by_one() {
        for (method, parts, outer) in OF_PARTS {
            for cut in 0..=9 {
                let mut ordered = Ordered::new(method, 4);
                ordered.update(&b"abcdefghi"[..cut]);
                ordered.update(&b"abcdefghi"[cut..]);
                let found = ordered.finish();
                let shown: Vec<_> = found.iter().map(|value| value.shown(method)).collect();
                assert_eq!(shown, parts, "{method:?}");
                assert_eq!(method.of_parts(&found).shown(method), outer, "{method:?}");
            }
        }
    }
    const OF_PARTS: [(Method, [&str; 3], &str); 4] = [
        (
            Method::Md5,
            [
                "e2fc714c4727ee9395f324cd2e7f331f",
                "1f7690ebdd9b4caf8fab49ca1757bf27",
                "865c0c0b4ab0e063e5caa3387c1a8741",
            ],
            "8c7423f079d1d123f65ff1de7afac977",
        ),
        (
            Method::Sha1,
            [
                "gf6L/odXbD7LIkJvjleEc4KRes8=",
                "Ku2Kqfgmwh7wfV7hW0juoG6cimI=",
                "BC3EUS+j05HFFwzzqmHmpjj4Q0I=",
            ],
            "AWfgxM9ZoRThrmOq77bsuNsmros=",
        ),
        (
            Method::Sha256,
            [
                "iNQmb9TmM40TuEX88olXnSCciXgjuSF9o+Fhk28DFYk=",
                "5eCIoLZhY6Cial4FPSpEltwWq24OPdGt8tFqqEoHjJ0=",
                "3n0bchoeBjK3zwTt9QMsjs/6n5oISSFSuSbxpafnZdc=",
            ],
            "kT+VpULCIC1nvF+g8w3c5HxtttUZf5w75Y07IlLvvf0=",
        ),
        (Method::Crc(Algorithm::Crc32), ["7YLNEQ==", "CDN7tQ==", "5mw2cQ=="], "W/O5dw=="),
    ];
}
