//! What a store declares of each part of an object.

use crate::digest::{Combined, Crc, Declared, Expected, Method, Unverifiable, Value};
use crate::range::Range;

/// Parts up to here are fetched and compared one by one. Of larger ones the
/// object would come on few connections; their CRCs are put together instead.
pub const COMPARED_BYTES_MAX: u64 = 64 << 20;

/// Equal parts, the last one perhaps shorter, and the value of each; of unequal
/// ones nothing, and that they are.
#[derive(Debug)]
pub struct PartTable {
    method: Method,
    expected: Expected,
    values: Box<[Value]>,
}

/// What a list of parts comes to.
#[derive(Debug)]
pub enum Parts {
    /// Each can be compared.
    Table(PartTable),
    /// The whole can.
    Whole(Declared),
}

impl Parts {
    /// Of an object of `bytes` with the composite `value`: `listed` are the sizes
    /// and values of its parts, in order. `None` where they do not make the
    /// object, or its value.
    pub fn of(
        method: Method,
        value: Value,
        bytes: u64,
        listed: impl Iterator<Item = (u64, Value)> + Clone,
    ) -> Option<Self> {
        let values: Box<[Value]> = listed.clone().map(|(_, value)| value).collect();
        let mut sizes = listed.clone().map(|(bytes, _)| bytes);
        let sum = sizes.clone().try_fold(0_u64, |sum, bytes| sum.checked_add(bytes));
        if sum != Some(bytes) || method.of_parts(&values) != value {
            return None;
        }
        let part_bytes = sizes.next().filter(|bytes| *bytes > 0)?;
        let inner = values.len().saturating_sub(2);
        let equal = sizes.clone().take(inner).all(|bytes| bytes == part_bytes)
            && sizes.all(|bytes| (1..=part_bytes).contains(&bytes));
        let comparable = equal && values.len() > 1 && part_bytes <= COMPARED_BYTES_MAX;
        if !comparable && matches!(method, Method::Crc(_)) {
            return whole(method, bytes, listed).map(Self::Whole);
        }
        let (expected, values) = match equal {
            true => (Expected::OfParts { method, value, part_bytes, is_inferred: false }, values),
            false => (Expected::Nothing(Unverifiable::PartSize), Box::default()),
        };
        Some(Self::Table(PartTable { method, expected, values }))
    }
}

/// The CRC of the whole.
fn whole(
    method: Method,
    bytes: u64,
    listed: impl Iterator<Item = (u64, Value)>,
) -> Option<Declared> {
    let Method::Crc(algorithm) = method else { return None };
    let mut combined = Combined::new(algorithm, bytes);
    let mut start: u64 = 0;
    for (bytes, value) in listed {
        let end = start.checked_add(bytes)?;
        combined.add(Range::new(start, end)?, Crc { value: value.number(), bytes });
        start = end;
    }
    Some(Declared { algorithm, value: combined.value()? })
}

impl PartTable {
    /// What the whole object is expected to be.
    pub fn expected(&self) -> Expected {
        self.expected
    }

    /// What part `number`, counted from 1, is expected to be.
    pub fn part(&self, number: u32) -> Option<(Method, Value)> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        Some((self.method, *self.values.get(index)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::digest::Algorithm;

    const CRC: Method = Method::Crc(Algorithm::Crc32);

    // zlib.crc32 of b"1234", b"5678", b"9" and of their digests, big-endian.
    fn crcs() -> (Value, [Value; 3]) {
        (CRC.decode(OUTER).unwrap(), PARTS.map(|text| CRC.decode(text).unwrap()))
    }
    const PARTS: [&str; 3] = ["m+Pgow==", "flJWBw==", "jQdnhQ=="];
    const OUTER: &str = "+vEo6Q==";

    fn of(bytes: u64, sizes: [u64; 3]) -> Option<Parts> {
        let (outer, values) = crcs();
        Parts::of(CRC, outer, bytes, sizes.into_iter().zip(values))
    }

    #[test]
    fn equal_parts_are_a_table() {
        let Some(Parts::Table(table)) = of(9, [4, 4, 1]) else { panic!("a table") };
        let (_, values) = crcs();
        assert_eq!((1..=4).map_while(|number| table.part(number)).count(), 3);
        assert_eq!(table.part(3), Some((CRC, values[2])));
        assert_eq!(table.part(0), None);
        let expected = table.expected();
        assert!(matches!(expected, Expected::OfParts { part_bytes: 4, is_inferred: false, .. }));
    }

    // The catalogue's value for "123456789", cut as 1234, 56789: zlib.crc32 again.
    #[test]
    fn unequal_crcs_make_one_of_the_whole() {
        let values = UNEQUAL.map(|text| CRC.decode(text).unwrap());
        let listed = [4, 5].into_iter().zip(values);
        let parts = Parts::of(CRC, CRC.of_parts(&values), 9, listed);
        let Some(Parts::Whole(declared)) = parts else { panic!("a whole") };
        assert_eq!(declared.value, 0xCBF4_3926);
    }
    const UNEQUAL: [&str; 2] = ["m+Pgow==", "Ex2gcA=="];

    // Sizes and values are those of other bytes, too many, or none.
    #[test]
    fn a_list_that_does_not_make_the_object_is_none() {
        for (bytes, sizes) in [(10, [4, 4, 1]), (9, [u64::MAX, 9, 1]), (0, [0, 0, 0])] {
            assert!(of(bytes, sizes).is_none(), "{sizes:?}");
        }
        let (outer, [first, ..]) = crcs();
        assert!(Parts::of(CRC, outer, 4, [(4, first)].into_iter()).is_none());
    }

    #[test]
    fn unequal_parts_in_order_are_told() {
        let (outer, [first, ..]) = crcs();
        let sha = Method::Sha256;
        let values = [sha.of_parts(&[first]), sha.of_parts(&[outer])];
        let unequal = [4, 5].into_iter().zip(values);
        let parts = Parts::of(sha, sha.of_parts(&values), 9, unequal);
        let Some(Parts::Table(table)) = parts else { panic!("a table") };
        assert_eq!(table.expected(), Expected::Nothing(Unverifiable::PartSize));
        assert_eq!(table.part(1), None);
    }
}
