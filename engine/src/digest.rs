//! What we compute over bytes, and how it compares with what a store declares.
//!
//! A [`Digest`] is fed bytes in order. [`Combined`] puts the digests of parts
//! together **in any order** and in constant memory: for these CRCs the value
//! of a concatenation is the XOR of each part's value, shifted by the number
//! of bytes that follow it, so parts need neither sorting nor keeping.
//!
//! Where a store declares no CRC of the whole object, it may declare another
//! [`Method`]'s value, of all bytes or over the values of parts, and its entity
//! tag may be an MD5 of the same kind ([`Expected`]). Everything else is
//! *unverifiable*, with a reason, rather than guessed at.

mod combined;
mod expected;
mod kept;
mod ordered;
mod table;

pub use combined::Combined;
pub use expected::{Checked, Expected, Running, Sum, Unverifiable, composite};
pub use kept::{KeptSum, kind};
pub use ordered::{Method, Ordered, Value};
pub use table::{COMPARED_BYTES_MAX, PartTable, Parts};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A checksum that stores declare and that we can compute over ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// CRC-64/NVME, S3's own default.
    Crc64Nvme,
    /// CRC-32/ISCSI, also called Castagnoli.
    Crc32c,
    /// CRC-32/ISO-HDLC, the one of zlib.
    Crc32,
}

impl Algorithm {
    /// All of them, the strongest first.
    pub const ALL: [Self; 3] = [Self::Crc64Nvme, Self::Crc32c, Self::Crc32];

    /// The name in lower case, as in `x-amz-checksum-…`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "crc64nvme",
            Self::Crc32c => "crc32c",
            Self::Crc32 => "crc32",
        }
    }

    fn crc(self) -> crc_fast::CrcAlgorithm {
        match self {
            Self::Crc64Nvme => crc_fast::CrcAlgorithm::Crc64Nvme,
            Self::Crc32c => crc_fast::CrcAlgorithm::Crc32Iscsi,
            Self::Crc32 => crc_fast::CrcAlgorithm::Crc32IsoHdlc,
        }
    }

    /// Bytes of the value on the wire.
    fn width(self) -> usize {
        match self {
            Self::Crc64Nvme => 8,
            Self::Crc32c | Self::Crc32 => 4,
        }
    }

    /// The value as stores write it: big-endian, base64.
    pub fn encode(self, value: u64) -> String {
        let bytes = value.to_be_bytes();
        STANDARD.encode(&bytes[bytes.len() - self.width()..])
    }

    /// Reads a declared value; `None` for another width or a composite.
    pub fn decode(self, text: &str) -> Option<u64> {
        let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == self.width())?;
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }
}

/// A checksum of a whole object, as its store declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// How it was computed.
    pub algorithm: Algorithm,
    /// Its value.
    pub value: u64,
}

impl Declared {
    /// The strongest of `checksums` (lower-case name, base64) that can be
    /// compared.
    pub fn strongest(checksums: &[(String, String)]) -> Option<Self> {
        Algorithm::ALL.into_iter().find_map(|algorithm| {
            let (_, text) = checksums.iter().find(|(name, _)| name == algorithm.name())?;
            algorithm.decode(text).map(|value| Self { algorithm, value })
        })
    }
}

impl Declared {
    /// As stores name it: lower-case name, base64.
    pub fn named(self) -> (String, String) {
        (self.algorithm.name().to_owned(), self.algorithm.encode(self.value))
    }
}

/// A checksum under way.
#[derive(Clone, Debug)]
pub struct Digest {
    algorithm: Algorithm,
    crc: crc_fast::Digest,
    bytes: u64,
}

impl Digest {
    /// Of no bytes yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, crc: crc_fast::Digest::new(algorithm.crc()), bytes: 0 }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Which checksum it is.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The value so far.
    pub fn value(&self) -> u64 {
        self.crc.finalize()
    }

    /// Value and length.
    pub fn crc(&self) -> Crc {
        Crc { value: self.value(), bytes: self.bytes }
    }
}

/// A checksum of so many bytes, complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc {
    /// Its value.
    pub value: u64,
    /// Of how many bytes.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // Check values of the CRC catalogue, for "123456789".
    const CHECKS: [(Algorithm, u64, &str); 3] = [
        (Algorithm::Crc64Nvme, 0xAE8B_1486_0A79_9888, "rosUhgp5mIg="),
        (Algorithm::Crc32c, 0xE306_9283, "4waSgw=="),
        (Algorithm::Crc32, 0xCBF4_3926, "y/Q5Jg=="),
    ];

    #[test]
    fn check_values_and_their_wire_form() {
        for (algorithm, value, text) in CHECKS {
            let mut digest = Digest::new(algorithm);
            digest.update(b"12345");
            digest.update(b"6789");
            assert_eq!((digest.value(), digest.bytes()), (value, 9));
            assert_eq!(algorithm.encode(value), text);
            assert_eq!(algorithm.decode(text), Some(value));
        }
    }

    #[test]
    fn composites_and_strangers_are_not_compared() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect()
        };
        assert_eq!(Declared::strongest(&pairs(&[("crc32", "y/Q5Jg==-3"), ("sha1", "eA==")])), None);
        assert_eq!(Declared::strongest(&pairs(&[("crc32", "rosUhgp5mIg=")])), None);
        let both = pairs(&[("crc32", "y/Q5Jg=="), ("crc64nvme", "rosUhgp5mIg=")]);
        assert_eq!(Declared::strongest(&both).unwrap().algorithm, Algorithm::Crc64Nvme);
    }
}
