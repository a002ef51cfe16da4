//! What an object's bytes are compared with, and why sometimes with nothing.

use md5::{Digest as _, Md5};

use crate::digest::{Algorithm, Crc, Declared, Digest};
use crate::error::{Error, ErrorKind, Result};
use crate::report::Verdict;

/// An MD5.
pub type Md5Sum = [u8; 16];

/// Characters of an MD5 in an entity tag.
const MD5_DIGITS: usize = 32;
const MIB: u64 = 1 << 20;
/// Part sizes that uploading programs choose, in MiB.
const USUAL_PARTS_MIB: [u64; 16] =
    [5, 8, 10, 15, 16, 20, 24, 25, 32, 48, 50, 64, 100, 128, 256, 512];

/// What a store says that an object's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A CRC of the whole, to which parts can be put together in any order.
    Crc(Declared),
    /// An entity tag that is the MD5 of the bytes.
    Md5(Md5Sum),
    /// An entity tag that is the MD5 of the MD5s of parts of `part_bytes`.
    Md5OfParts {
        /// The outer MD5.
        sum: Md5Sum,
        /// Bytes of each part but the last.
        part_bytes: u64,
    },
    /// Nothing that can be compared.
    Nothing(Unverifiable),
}

/// Why an object cannot be compared with anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unverifiable {
    /// The store declares no checksum of the whole object.
    NoChecksum,
    /// Its entity tag is made of parts of an unknown size.
    PartSize,
    /// Its entity tag is that of encrypted bytes.
    Encrypted,
    /// Its entity tag is an MD5 of all bytes in order, and they came in ranges.
    InRanges,
    /// Its entity tag looks like an MD5 and is none.
    EntityTag,
    /// An upload that the store confirmed without naming a checksum.
    Unconfirmed,
}

impl Unverifiable {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoChecksum => "no-checksum",
            Self::PartSize => "part-size",
            Self::Encrypted => "encrypted",
            Self::InRanges => "in-ranges",
            Self::EntityTag => "entity-tag",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// For people, after "because".
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoChecksum => "the store declares no checksum of the whole object",
            Self::PartSize => {
                "its entity tag is made of parts whose size cannot be told from outside"
            }
            Self::Encrypted => "its entity tag is that of encrypted bytes",
            Self::InRanges => {
                "its entity tag wants all bytes in order, and a large object comes in ranges"
            }
            Self::EntityTag => "its entity tag looks like an MD5 and is none",
            Self::Unconfirmed => "the store took it without naming a checksum",
        }
    }
}

impl Expected {
    /// The best of what a store tells: `checksums` (lower-case name, base64), the
    /// entity tag of an object of `bytes`, and whether it is `encrypted` with a
    /// key that makes the tag something else.
    pub fn of(
        checksums: &[(String, String)],
        etag: Option<&str>,
        (bytes, encrypted): (u64, bool),
    ) -> Self {
        if let Some(declared) = Declared::strongest(checksums) {
            return Self::Crc(declared);
        }
        let tag = etag.unwrap_or_default().trim_matches('"');
        let (digits, parts) = match tag.split_once('-') {
            Some((digits, parts)) => (digits, Some(parts)),
            None => (tag, None),
        };
        let Some(sum) = md5(digits) else { return Self::Nothing(Unverifiable::NoChecksum) };
        if encrypted {
            return Self::Nothing(Unverifiable::Encrypted);
        }
        let Some(parts) = parts else { return Self::Md5(sum) };
        match parts.parse().ok().and_then(|parts| usual_part_bytes(bytes, parts)) {
            Some(part_bytes) => Self::Md5OfParts { sum, part_bytes },
            None => Self::Nothing(Unverifiable::PartSize),
        }
    }
}

fn md5(digits: &str) -> Option<Md5Sum> {
    let plain = digits.len() == MD5_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = plain.then(|| u128::from_str_radix(digits, 16).ok())??;
    Some(value.to_be_bytes())
}

/// The one usual size by which `bytes` are `parts` parts.
fn usual_part_bytes(bytes: u64, parts: u64) -> Option<u64> {
    if parts == 1 {
        return Some(bytes.max(1));
    }
    let fits = |mib: &u64| bytes.div_ceil(mib * MIB) == parts;
    let mut fitting = USUAL_PARTS_MIB.iter().filter(|mib| fits(mib));
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Some(only * MIB),
        _ => None,
    }
}

/// A digest under way, of one range.
#[derive(Clone, Debug)]
pub enum Running {
    /// A CRC.
    Crc(Box<Digest>),
    /// MD5s of parts, of which the range holds one or more.
    Md5(Box<Md5s>),
}

/// MD5s of equal parts, the last one shorter.
#[derive(Clone, Debug)]
pub struct Md5s {
    part_bytes: u64,
    current: Md5,
    /// Bytes that the current part still takes.
    room: u64,
    sums: Vec<Md5Sum>,
}

impl Md5s {
    fn new(part_bytes: u64) -> Self {
        Self { part_bytes, current: Md5::new(), room: part_bytes, sums: Vec::new() }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.room == 0 {
                self.turn();
            }
            let count = usize::try_from(self.room).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(count);
            self.current.update(now);
            self.room -= count as u64;
            bytes = later;
        }
    }

    fn turn(&mut self) {
        self.sums.push(self.current.finalize_reset().into());
        self.room = self.part_bytes;
    }
}

impl Running {
    /// What `expected` needs of each part.
    pub fn towards(expected: Expected) -> Option<Self> {
        match expected {
            Expected::Crc(declared) => Some(Self::Crc(Box::new(Digest::new(declared.algorithm)))),
            Expected::Md5(_) => Some(Self::Md5(Box::new(Md5s::new(u64::MAX)))),
            Expected::Md5OfParts { part_bytes, .. } => {
                Some(Self::Md5(Box::new(Md5s::new(part_bytes))))
            }
            Expected::Nothing(_) => None,
        }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(digest) => digest.update(bytes),
            Self::Md5(md5s) => md5s.update(bytes),
        }
    }

    /// The end of the range.
    pub fn finish(self) -> Sum {
        match self {
            Self::Crc(digest) => Sum::Crc(digest.crc()),
            Self::Md5(mut md5s) => {
                md5s.turn();
                Sum::Md5(md5s.sums)
            }
        }
    }
}

/// The digest of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sum {
    /// A CRC and its length.
    Crc(Crc),
    /// MD5s of its parts, in order.
    Md5(Vec<Md5Sum>),
}

impl Sum {
    /// Whether this, of a whole object, is what was expected.
    pub fn is(&self, expected: Expected) -> bool {
        match (self, expected) {
            (Self::Crc(crc), Expected::Crc(declared)) => crc.value == declared.value,
            (Self::Md5(sums), Expected::Md5(sum)) => *sums == [sum],
            (Self::Md5(sums), Expected::Md5OfParts { sum, .. }) => md5_of(sums) == sum,
            _ => false,
        }
    }
}

/// What an object was compared with, in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// A CRC that matched.
    Crc(Algorithm),
    /// An entity tag that matched, as an MD5.
    Md5,
    /// Nothing.
    Not(Unverifiable),
}

impl Checked {
    /// An upload whose arrival the store confirmed by the checksum `name`.
    pub fn confirmed(name: Option<&str>) -> Self {
        let crc = Algorithm::ALL.into_iter().find(|algorithm| Some(algorithm.name()) == name);
        match (crc, name) {
            (Some(algorithm), _) => Self::Crc(algorithm),
            (None, Some(_)) => Self::Md5,
            (None, None) => Self::Not(Unverifiable::Unconfirmed),
        }
    }

    /// As reports have it.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Crc(algorithm) => Verdict::Verified(algorithm.name()),
            Self::Md5 => Verdict::Verified("md5"),
            Self::Not(why) => Verdict::Unverifiable(why.name()),
        }
    }

    /// Nothing may pass that was compared with nothing.
    ///
    /// # Errors
    /// `Unverified`.
    pub fn required(self) -> Result<Self> {
        let Self::Not(why) = self else { return Ok(self) };
        let sentence = format!(
            "it cannot be verified, because {}; leave --require-verified out to have it all the \
             same",
            why.reason()
        );
        Err(Error::new(ErrorKind::Unverified, sentence))
    }
}

/// The MD5 of MD5s, as an entity tag of several parts has it.
pub fn md5_of(sums: &[Md5Sum]) -> Md5Sum {
    Md5::digest(sums.concat()).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TAG: &str = "\"9e107d9d372bb6826bd81d3542a419d6\"";

    fn of(etag: &str, bytes: u64) -> Expected {
        Expected::of(&[], Some(etag), (bytes, false))
    }

    // RFC 1321 has the MD5 of "message digest"; the tag above is that of "The quick
    // brown fox jumps over the lazy dog" (`md5sum`).
    #[test]
    fn an_entity_tag_of_one_request_is_an_md5() {
        let Expected::Md5(sum) = of(TAG, 43) else { panic!("an MD5") };
        let mut running = Running::towards(Expected::Md5(sum)).unwrap();
        running.update(b"The quick brown fox ");
        running.update(b"jumps over the lazy dog");
        let Sum::Md5(found) = running.finish() else { panic!("an MD5") };
        assert_eq!(found, [sum]);
    }

    // Of `printf abcdefghi | split -b 4`, `md5sum` each; the outer one is `md5sum` of
    // the three in binary.
    #[test]
    fn parts_are_digested_one_by_one() {
        let expected = Expected::Md5OfParts { sum: [0; 16], part_bytes: 4 };
        for cut in 0..=9 {
            let mut running = Running::towards(expected).unwrap();
            running.update(&b"abcdefghi"[..cut]);
            running.update(&b"abcdefghi"[cut..]);
            let Sum::Md5(found) = running.finish() else { panic!("MD5s") };
            assert_eq!(found.iter().map(hex).collect::<Vec<_>>(), PARTS);
            assert_eq!(hex(&md5_of(&found)), OUTER);
        }
    }
    const PARTS: [&str; 3] = [
        "e2fc714c4727ee9395f324cd2e7f331f",
        "1f7690ebdd9b4caf8fab49ca1757bf27",
        "865c0c0b4ab0e063e5caa3387c1a8741",
    ];
    const OUTER: &str = "8c7423f079d1d123f65ff1de7afac977";

    fn hex(sum: &Md5Sum) -> String {
        sum.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn what_is_no_md5_is_nothing() {
        for tag in [
            "",
            "\"etag-00000001\"",
            "\"9e107d9d372bb6826bd81d3542a419dg\"",
            "\"+e107d9d372bb6826bd81d3542a419d6\"",
        ] {
            assert_eq!(of(tag, 9), Expected::Nothing(Unverifiable::NoChecksum), "{tag}");
        }
        let encrypted = Expected::of(&[], Some(TAG), (43, true));
        assert_eq!(encrypted, Expected::Nothing(Unverifiable::Encrypted));
    }

    #[test]
    fn a_crc_comes_first() {
        let checksums = [("crc32".to_owned(), "y/Q5Jg==".to_owned())];
        let expected = Expected::of(&checksums, Some(TAG), (9, false));
        assert!(matches!(expected, Expected::Crc(Declared { algorithm: Algorithm::Crc32, .. })));
    }

    // By hand: 100 MiB in 13 parts can be parts of 8 MiB only; 17 MiB in two parts
    // can be of 10, 15 or 16 MiB; nothing usual gives 100 MiB in 1,000 parts.
    #[test]
    fn a_part_size_is_taken_only_when_it_is_the_only_one() {
        let tag = |parts: u32| format!("\"9e107d9d372bb6826bd81d3542a419d6-{parts}\"");
        let of_parts = of(&tag(13), 100 * MIB);
        assert!(
            matches!(of_parts, Expected::Md5OfParts { part_bytes, .. } if part_bytes == 8 * MIB)
        );
        for (parts, mib) in [(2, 17), (1000, 100), (0, 1)] {
            let expected = of(&tag(parts), mib * MIB);
            assert_eq!(expected, Expected::Nothing(Unverifiable::PartSize), "{parts}");
        }
        let one = of(&tag(1), 7 * MIB);
        assert!(matches!(one, Expected::Md5OfParts { part_bytes, .. } if part_bytes == 7 * MIB));
    }
}
