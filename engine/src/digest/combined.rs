//! The checksum of a whole out of those of its parts, in any order.

use crate::digest::{Algorithm, Crc};
use crate::range::Range;

/// Collects the parts of `bytes` bytes.
#[derive(Clone, Debug)]
pub struct Combined {
    algorithm: Algorithm,
    bytes: u64,
    covered: u64,
    value: u64,
}

impl Combined {
    /// Nothing of `bytes` bytes collected yet.
    pub fn new(algorithm: Algorithm, bytes: u64) -> Self {
        Self { algorithm, bytes, covered: 0, value: 0 }
    }

    /// Adds the checksum of `range`. Each range once: the caller's plan sees to
    /// that, and the sum of lengths is checked at the end.
    pub fn add(&mut self, range: Range, part: Crc) {
        let after = self.bytes.saturating_sub(range.end);
        let crc = self.algorithm.crc();
        self.value ^= crc_fast::checksum_combine(crc, part.value, 0, after);
        self.covered += part.bytes;
    }

    /// Bytes collected.
    pub fn covered(&self) -> u64 {
        self.covered
    }

    /// The whole's value; `None` while bytes are missing.
    pub fn value(&self) -> Option<u64> {
        (self.covered == self.bytes).then_some(self.value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::digest::Digest;
    use proptest::prelude::*;

    const CHECKS: [(Algorithm, u64); 3] = [
        (Algorithm::Crc64Nvme, 0xAE8B_1486_0A79_9888),
        (Algorithm::Crc32c, 0xE306_9283),
        (Algorithm::Crc32, 0xCBF4_3926),
    ];

    fn combine(algorithm: Algorithm, data: &[u8], cuts: &[(usize, usize)]) -> Option<u64> {
        let mut whole = Combined::new(algorithm, data.len() as u64);
        for &(start, end) in cuts {
            let mut digest = Digest::new(algorithm);
            digest.update(&data[start..end]);
            whole.add(Range::new(start as u64, end as u64).unwrap(), digest.crc());
        }
        whole.value()
    }

    #[test]
    fn parts_in_any_order_give_the_catalogues_value() {
        for (algorithm, check) in CHECKS {
            for cuts in [
                vec![(0, 9)],
                vec![(4, 9), (0, 4)],
                vec![(3, 5), (5, 9), (0, 1), (1, 3)],
                vec![(9, 9), (0, 9)],
            ] {
                assert_eq!(combine(algorithm, b"123456789", &cuts), Some(check), "{cuts:?}");
            }
            assert_eq!(combine(algorithm, b"123456789", &[(0, 8)]), None);
        }
    }

    // zlib.crc32(bytes(i * 7 % 251 for i in range(1_000_000))) of Python 3.
    #[test]
    fn a_million_bytes_agree_with_zlib() {
        let data: Vec<u8> = (0..1_000_000_u32).map(|i| (i * 7 % 251) as u8).collect();
        let cuts = [(700_001, 1_000_000), (0, 65_536), (65_536, 700_001)];
        assert_eq!(combine(Algorithm::Crc32, &data, &cuts), Some(ZLIB_MILLION));
    }
    const ZLIB_MILLION: u64 = 0xb6ba5185;

    proptest! {
        #[test]
        fn a_flipped_byte_is_seen(at in 0_usize..9, bit in 0_u8..8, cut in 1_usize..9) {
            let mut data = *b"123456789";
            data[at] ^= 1 << bit;
            for (algorithm, check) in CHECKS {
                prop_assert_ne!(combine(algorithm, &data, &[(cut, 9), (0, cut)]), Some(check));
            }
        }
    }
}
