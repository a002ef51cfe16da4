//! What an object's bytes are compared with, and why sometimes with nothing.

use crate::digest::{Crc, Declared, Digest, Method, Ordered, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::report::Verdict;

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
    /// A value of all bytes in order; an MD5 is that of an entity tag.
    Whole(Method, Value),
    /// A value over the values of parts; an MD5 is that of an entity tag.
    OfParts {
        /// How the parts and their values are digested.
        method: Method,
        /// The outer value.
        value: Value,
        /// Bytes of each part but the last.
        part_bytes: u64,
        /// Whether the part size is inferred, and may be another one.
        is_inferred: bool,
    },
    /// Nothing that can be compared.
    Nothing(Unverifiable),
}

/// Why an object cannot be compared with anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unverifiable {
    /// The store declares no checksum that can be computed here.
    NoChecksum,
    /// Its checksum or entity tag is made of parts of unknown or unequal size.
    PartSize,
    /// Its entity tag is that of encrypted bytes.
    Encrypted,
    /// Its checksum is of all bytes in order, and they came in ranges.
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
            Self::NoChecksum => "the store declares no checksum that could be compared",
            Self::PartSize => {
                "its checksum is made of parts whose sizes are unequal or cannot be told from outside"
            }
            Self::Encrypted => "its entity tag is that of encrypted bytes",
            Self::InRanges => {
                "its checksum wants all bytes in order, and a large object comes in ranges"
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
        if let Some((method, value, parts)) = declared(checksums) {
            return Self::over(method, value, (bytes, parts));
        }
        let (digits, parts) = numbered(etag.unwrap_or_default().trim_matches('"'));
        let Some(value) = md5(digits) else { return Self::Nothing(Unverifiable::NoChecksum) };
        if encrypted {
            return Self::Nothing(Unverifiable::Encrypted);
        }
        Self::over(Method::Md5, value, (bytes, parts))
    }

    /// The same, where entity tags are `trusted`.
    #[must_use]
    pub fn believing(self, trusted: bool) -> Self {
        match self {
            Self::Whole(Method::Md5, _) | Self::OfParts { method: Method::Md5, .. } if !trusted => {
                Self::Nothing(Unverifiable::EntityTag)
            }
            expected => expected,
        }
    }

    /// What else may be wrong than the bytes, where these always differ.
    pub fn doubt(self) -> Option<Unverifiable> {
        match self {
            Self::Whole(Method::Md5, _) | Self::OfParts { method: Method::Md5, .. } => {
                Some(Unverifiable::EntityTag)
            }
            Self::OfParts { is_inferred: true, .. } => Some(Unverifiable::PartSize),
            _ => None,
        }
    }

    /// Whether `bytes` bytes must come in order, and not in ranges.
    pub fn is_in_order(self, bytes: u64) -> bool {
        match self {
            Self::Whole(..) => true,
            Self::OfParts { part_bytes, .. } => part_bytes >= bytes,
            Self::Crc(_) | Self::Nothing(_) => false,
        }
    }

    /// A value over `bytes`, or over so many parts of them.
    fn over(method: Method, value: Value, (bytes, parts): (u64, Option<&str>)) -> Self {
        let Some(parts) = parts else { return Self::Whole(method, value) };
        match parts.parse().ok().and_then(|parts| usual_part_bytes(bytes, parts)) {
            Some(part_bytes) => {
                Self::OfParts { method, value, part_bytes, is_inferred: part_bytes < bytes }
            }
            None => Self::Nothing(Unverifiable::PartSize),
        }
    }
}

/// The preferred one of `checksums` that can be computed in order, and the parts
/// that it is over, if it is.
fn declared(checksums: &[(String, String)]) -> Option<(Method, Value, Option<&str>)> {
    Method::ALL.into_iter().find_map(|method| {
        let (_, text) = checksums.iter().find(|(name, _)| name == method.name())?;
        let (text, parts) = numbered(text);
        Some((method, method.decode(text)?, parts))
    })
}

/// The preferred composite of `checksums`, and the parts that it is over.
pub fn composite(checksums: &[(String, String)]) -> Option<(Method, Value, u32)> {
    let (method, value, parts) = declared(checksums)?;
    Some((method, value, parts?.parse().ok()?))
}

/// `value-N`, taken apart.
fn numbered(text: &str) -> (&str, Option<&str>) {
    text.split_once('-').map_or((text, None), |(value, parts)| (value, Some(parts)))
}

fn md5(digits: &str) -> Option<Value> {
    let plain = digits.len() == MD5_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = plain.then(|| u128::from_str_radix(digits, 16).ok())??;
    Some(Value::of(&value.to_be_bytes()))
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
    /// Values of parts, of which the range holds one or more.
    Ordered(Box<Ordered>),
}

impl Running {
    /// What `expected` needs of each part.
    pub fn towards(expected: Expected) -> Option<Self> {
        match expected {
            Expected::Crc(declared) => Some(Self::Crc(Box::new(Digest::new(declared.algorithm)))),
            Expected::Whole(method, _) => {
                Some(Self::Ordered(Box::new(Ordered::new(method, u64::MAX))))
            }
            Expected::OfParts { method, part_bytes, .. } => {
                Some(Self::Ordered(Box::new(Ordered::new(method, part_bytes))))
            }
            Expected::Nothing(_) => None,
        }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(digest) => digest.update(bytes),
            Self::Ordered(ordered) => ordered.update(bytes),
        }
    }

    /// The end of the range.
    pub fn finish(self) -> Sum {
        match self {
            Self::Crc(digest) => Sum::Crc(digest.crc()),
            Self::Ordered(ordered) => Sum::Ordered(ordered.finish()),
        }
    }
}

/// The digest of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sum {
    /// A CRC and its length.
    Crc(Crc),
    /// Values of its parts, in order.
    Ordered(Vec<Value>),
}

impl Sum {
    /// Whether this, of a whole object, is what was expected.
    pub fn is(&self, expected: Expected) -> bool {
        match (self, expected) {
            (Self::Crc(crc), Expected::Crc(declared)) => crc.value == declared.value,
            (Self::Ordered(values), Expected::Whole(_, value)) => *values == [value],
            (Self::Ordered(values), Expected::OfParts { method, value, .. }) => {
                method.of_parts(values) == value
            }
            _ => false,
        }
    }
}

/// What an object was compared with, in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// A value that matched; an MD5 is that of an entity tag.
    By(Method),
    /// Nothing.
    Not(Unverifiable),
}

impl Checked {
    /// An upload whose arrival the store confirmed by the checksum `name`.
    pub fn confirmed(name: Option<&str>) -> Self {
        let method = Method::ALL.into_iter().find(|method| Some(method.name()) == name);
        method.map_or(Self::Not(Unverifiable::Unconfirmed), Self::By)
    }

    /// As reports have it.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::By(method) => Verdict::Verified(method.name()),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::digest::Algorithm;

    const TAG: &str = "\"9e107d9d372bb6826bd81d3542a419d6\"";

    fn of(etag: &str, bytes: u64) -> Expected {
        Expected::of(&[], Some(etag), (bytes, false))
    }

    // The tag above is of "The quick brown fox jumps over the lazy dog" (`md5sum`).
    #[test]
    fn an_entity_tag_of_one_request_is_an_md5() {
        let expected = of(TAG, 43);
        assert!(matches!(expected, Expected::Whole(Method::Md5, _)));
        let mut running = Running::towards(expected).unwrap();
        running.update(b"The quick brown fox ");
        running.update(b"jumps over the lazy dog");
        assert!(running.finish().is(expected));
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
        for encrypted in [false, true] {
            let expected = Expected::of(&checksums, Some(TAG), (9, encrypted));
            let Expected::Crc(declared) = expected else { panic!("a CRC") };
            assert_eq!((declared.algorithm, declared.value), (Algorithm::Crc32, 0xCBF4_3926));
        }
    }

    // By hand: 100 MiB in 13 parts can be parts of 8 MiB only; 17 MiB in two parts
    // can be of 10, 15 or 16 MiB; nothing usual gives 100 MiB in 1,000 parts.
    #[test]
    fn a_part_size_is_taken_only_when_it_is_the_only_one() {
        let tag = |parts: u32| format!("\"9e107d9d372bb6826bd81d3542a419d6-{parts}\"");
        let of_parts = of(&tag(13), 100 * MIB);
        assert!(matches!(of_parts, Expected::OfParts { part_bytes, .. } if part_bytes == 8 * MIB));
        for (parts, mib) in [(2, 17), (1000, 100), (0, 1)] {
            let expected = of(&tag(parts), mib * MIB);
            assert_eq!(expected, Expected::Nothing(Unverifiable::PartSize), "{parts}");
        }
        let one = of(&tag(1), 7 * MIB);
        assert!(matches!(
            one,
            Expected::OfParts { part_bytes, is_inferred: false, .. } if part_bytes == 7 * MIB
        ));
    }
}
