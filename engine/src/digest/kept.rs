//! A part's digest as a journal keeps it: 32 bytes, and a number that says of
//! which kind.

use crate::digest::{Algorithm, Crc, Expected, Method, Sum};

/// Bytes that stand for a digest.
pub type KeptSum = [u8; 32];

const NOTHING: u8 = 0;
/// Behind the numbers of CRCs of the whole: methods of values in order.
const IN_ORDER: u8 = 4;

/// The kind of what `expected` makes of each part.
pub fn kind(expected: Expected) -> u8 {
    match expected {
        Expected::Crc(declared) => number(Method::Crc(declared.algorithm)),
        Expected::Whole(method, _) | Expected::OfParts { method, .. } => IN_ORDER + number(method),
        Expected::Nothing(_) => NOTHING,
    }
}

fn number(method: Method) -> u8 {
    match method {
        Method::Md5 => 0,
        Method::Crc(Algorithm::Crc64Nvme) => 1,
        Method::Crc(Algorithm::Crc32c) => 2,
        Method::Crc(Algorithm::Crc32) => 3,
        Method::Sha256 => 4,
        Method::Sha1 => 5,
    }
}

impl Sum {
    /// As it is kept; `None` where it does not fit.
    pub fn kept(sum: Option<&Self>) -> Option<KeptSum> {
        let mut kept = [0; 32];
        match sum {
            None => {}
            Some(Self::Crc(crc)) => kept[..8].copy_from_slice(&crc.value.to_le_bytes()),
            Some(Self::Ordered(values)) => match values.as_slice() {
                [value] => kept.get_mut(..value.as_ref().len())?.copy_from_slice(value.as_ref()),
                _ => return None,
            },
        }
        Some(kept)
    }

    /// The digest of a part of `bytes` bytes, which `expected` made.
    pub fn restored(expected: Expected, bytes: u64, kept: &KeptSum) -> Option<Self> {
        match expected {
            Expected::Nothing(_) => None,
            Expected::Crc(_) => {
                let value = u64::from_le_bytes(*kept.first_chunk::<8>()?);
                Some(Self::Crc(Crc { value, bytes }))
            }
            Expected::Whole(method, _) | Expected::OfParts { method, .. } => {
                Some(Self::Ordered(vec![method.value(kept)?]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::digest::{Declared, Unverifiable};

    #[test]
    fn what_was_kept_is_restored() {
        let declared = Declared { algorithm: Algorithm::Crc32c, value: 1 };
        let crc = Sum::Crc(Crc { value: u64::MAX - 7, bytes: 99 });
        let mut cases = vec![
            (Expected::Crc(declared), Some(crc)),
            (Expected::Nothing(Unverifiable::NoChecksum), None),
        ];
        for method in Method::ALL {
            let value = method.value(b"0123456789abcdefghijklmnopqrstuv").unwrap();
            let sum = Some(Sum::Ordered(vec![value]));
            cases.push((Expected::Whole(method, value), sum.clone()));
            let (part_bytes, is_inferred) = (99, false);
            cases.push((Expected::OfParts { method, value, part_bytes, is_inferred }, sum));
        }
        for (expected, sum) in cases {
            let kept = Sum::kept(sum.as_ref()).unwrap_or_else(|| panic!("{expected:?} fits"));
            assert_eq!(Sum::restored(expected, 99, &kept), sum);
        }
        let value = Method::Md5.value(&[0; 16]).unwrap();
        assert_eq!(Sum::kept(Some(&Sum::Ordered(vec![value; 2]))), None);
    }
}
