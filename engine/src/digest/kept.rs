//! A part's digest as a journal keeps it: 32 bytes, and a number that says of
//! which kind.

use crate::digest::{Algorithm, Crc, Expected, Sum};

/// Bytes that stand for a digest.
pub type KeptSum = [u8; 32];

const NOTHING: u8 = 0;
const CRC64_NVME: u8 = 1;
const CRC32C: u8 = 2;
const CRC32: u8 = 3;
const MD5: u8 = 4;

/// The kind of what `expected` makes of each part.
pub fn kind(expected: Expected) -> u8 {
    match expected {
        Expected::Crc(declared) => match declared.algorithm {
            Algorithm::Crc64Nvme => CRC64_NVME,
            Algorithm::Crc32c => CRC32C,
            Algorithm::Crc32 => CRC32,
        },
        Expected::Md5(_) | Expected::Md5OfParts { .. } => MD5,
        Expected::Nothing(_) => NOTHING,
    }
}

impl Sum {
    /// As it is kept; `None` where it does not fit.
    pub fn kept(sum: Option<&Self>) -> Option<KeptSum> {
        let mut kept = [0; 32];
        match sum {
            None => {}
            Some(Self::Crc(crc)) => kept[..8].copy_from_slice(&crc.value.to_le_bytes()),
            Some(Self::Md5(sums)) => match sums.as_slice() {
                [sum] => kept[..16].copy_from_slice(sum),
                _ => return None,
            },
        }
        Some(kept)
    }

    /// The digest of a part of `bytes` bytes, which `expected` made.
    pub fn restored(expected: Expected, bytes: u64, kept: &KeptSum) -> Option<Self> {
        let (first, rest) = kept.split_first_chunk::<8>()?;
        match expected {
            Expected::Nothing(_) => None,
            Expected::Crc(_) => Some(Self::Crc(Crc { value: u64::from_le_bytes(*first), bytes })),
            Expected::Md5(_) | Expected::Md5OfParts { .. } => {
                let second = rest.first_chunk::<8>()?;
                let mut sum = [0; 16];
                sum[..8].copy_from_slice(first);
                sum[8..].copy_from_slice(second);
                Some(Self::Md5(vec![sum]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Declared, Unverifiable};

    #[test]
    fn what_was_kept_is_restored() {
        let declared = Declared { algorithm: Algorithm::Crc32c, value: 1 };
        let crc = Sum::Crc(Crc { value: u64::MAX - 7, bytes: 99 });
        let md5 = Sum::Md5(vec![*b"0123456789abcdef"]);
        for (expected, sum) in [
            (Expected::Crc(declared), Some(crc)),
            (Expected::Md5OfParts { sum: [0; 16], part_bytes: 99 }, Some(md5)),
            (Expected::Nothing(Unverifiable::NoChecksum), None),
        ] {
            let kept = Sum::kept(sum.as_ref()).unwrap_or_else(|| panic!("{expected:?} fits"));
            assert_eq!(Sum::restored(expected, 99, &kept), sum);
        }
        assert_eq!(Sum::kept(Some(&Sum::Md5(vec![[0; 16]; 2]))), None);
    }
}
