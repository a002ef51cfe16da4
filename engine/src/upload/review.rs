//! What a store says of what it was sent, beside what was sent.

use md5::{Digest as _, Md5};

use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::s3::{PartDone, Proof, PutDone};
use crate::upload::seal::Sums;

/// The name under which files count whose entity tag is the MD5 of their
/// bytes.
const MD5: &str = "md5";

/// The checksum that the store confirmed, if it named one.
///
/// # Errors
/// `Corrupt` when it has other bytes. In the class `Checksum` when it says
/// nothing of a trailer: it may have kept the framing as content.
pub(super) fn put(done: &PutDone, sums: &Sums, proof: &Proof) -> Result<Option<&'static str>> {
    let crc = Algorithm::Crc64Nvme;
    let named = done.checksums.iter().find(|(name, _)| name == crc.name());
    match named.and_then(|(_, text)| crc.decode(text)) {
        Some(value) if value == sums.crc.value() => return Ok(Some(crc.name())),
        Some(_) => {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "the store acknowledged other bytes than were sent (CRC64NVME differs)",
            ));
        }
        None => {}
    }
    if *proof == Proof::Trailer {
        let sentence = "the store did not confirm the checksum in the trailer";
        return Err(Error::new(ErrorKind::Protocol, sentence).in_class(RetryClass::Checksum));
    }
    // An entity tag that differs proves nothing: those of encrypted objects
    // look the same and are no MD5.
    let asked = sums.md5.filter(|_| matches!(proof, Proof::ContentMd5(_)));
    let same = asked.is_some() && done.etag.as_deref().and_then(md5_of) == asked;
    Ok(same.then_some(MD5))
}

/// The entity tag of an object whose parts have these, where it is made as S3
/// makes it: the MD5 of the parts' MD5s, and their number.
pub(super) fn etag_of_parts(parts: &[PartDone]) -> Option<String> {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(md5_of(&part.etag)?);
    }
    let hex: String = md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{hex}-{}", parts.len()))
}

/// The MD5 that an entity tag may be.
fn md5_of(etag: &str) -> Option<[u8; 16]> {
    let hex = etag.trim_matches('"');
    if hex.len() != 32 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut md5 = [0; 16];
    for (byte, pair) in md5.iter_mut().zip(0_usize..) {
        *byte = u8::from_str_radix(hex.get(2 * pair..2 * pair + 2)?, 16).ok()?;
    }
    Some(md5)
}

/// The CRC64NVME of a digest as it stands on the wire.
pub(super) fn text(crc: &Digest) -> String {
    crc.algorithm().encode(crc.value())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn part(number: i32, etag: &str) -> PartDone {
        PartDone { number, etag: etag.to_owned(), crc64nvme: None }
    }

    // printf 'hello ' | md5sum; printf world | md5sum; and of both, as bytes:
    // printf 'f814893777bcc2295fff05f00e508da67d793037a0760186574b0282f2f435e7' |
    //   xxd -r -p | md5sum
    #[test]
    fn the_tag_of_parts_is_s3s() {
        let parts = [
            part(1, "\"f814893777bcc2295fff05f00e508da6\""),
            part(2, "7d793037a0760186574b0282f2f435e7"),
        ];
        assert_eq!(etag_of_parts(&parts).unwrap(), "e09e4fd6265b36115fe3db32df945d84-2");
        assert_eq!(etag_of_parts(&[part(1, "\"no-md5\"")]), None);
        assert_eq!(etag_of_parts(&[part(1, "\"+f14893777bcc2295fff05f00e508da6\"")]), None);
    }

    #[test]
    fn only_a_tag_that_is_the_md5_confirms() {
        let mut crc = Digest::new(Algorithm::Crc64Nvme);
        crc.update(b"world");
        let md5 = md5_of("7d793037a0760186574b0282f2f435e7");
        let sums = Sums { crc, md5 };
        let said = |etag: &str, proof: &Proof| {
            let etag = Some(etag.to_owned());
            put(&PutDone { etag, checksums: Vec::new() }, &sums, proof)
        };
        let sent = Proof::ContentMd5("fXkwN6B2AYZXSwKC8vQ15w==".to_owned());
        assert_eq!(said("\"7d793037a0760186574b0282f2f435e7\"", &sent).unwrap(), Some("md5"));
        assert_eq!(said("\"f814893777bcc2295fff05f00e508da6\"", &sent).unwrap(), None);
        assert_eq!(said("\"opaque\"", &sent).unwrap(), None);
        assert_eq!(said("7d793037a0760186574b0282f2f435e7", &Proof::None).unwrap(), None);
        let silent = said("\"opaque\"", &Proof::Trailer).unwrap_err();
        assert_eq!(silent.class(), RetryClass::Checksum);
    }
}
