//! The planned unit of a transfer, and how an object is cut into them.

use crate::range::Range;

/// One range of an object or file, moved, checked and retried on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 1, as S3 counts.
    pub number: u32,
    /// The bytes.
    pub range: Range,
}

/// How `bytes` bytes are cut: equal parts, the last one shorter. A rule and
/// not a list, so that a plan costs the same for any object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    bytes: u64,
    part_bytes: u64,
}

impl Cut {
    /// Parts of `part_bytes`, enlarged to whole MiB until no more than
    /// `parts_max` are needed.
    pub fn new(bytes: u64, part_bytes: u64, parts_max: u32) -> Self {
        const MIB: u64 = 1 << 20;
        let floor = bytes.div_ceil(u64::from(parts_max.max(1)));
        let part_bytes = if floor > part_bytes {
            floor.checked_next_multiple_of(MIB).unwrap_or(floor)
        } else {
            part_bytes.max(1)
        };
        Self { bytes, part_bytes }
    }

    /// The whole.
    pub fn bytes(self) -> u64 {
        self.bytes
    }

    /// Bytes of each part but the last.
    pub fn part_bytes(self) -> u64 {
        self.part_bytes
    }

    /// How many parts; an empty object is one empty part.
    pub fn parts(self) -> u32 {
        u32::try_from(self.bytes.div_ceil(self.part_bytes)).unwrap_or(u32::MAX).max(1)
    }

    /// Part `number`, counted from 1.
    pub fn part(self, number: u32) -> Option<Part> {
        if number == 0 || number > self.parts() {
            return None;
        }
        let start = u64::from(number - 1).checked_mul(self.part_bytes)?;
        let end = start.saturating_add(self.part_bytes).min(self.bytes);
        Some(Part { number, range: Range::new(start, end)? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_cover_every_byte_once(
            bytes in 0_u64..1 << 44,
            part_bytes in 1_u64 << 20..1 << 26,
        ) {
            let cut = Cut::new(bytes, part_bytes, 10_000);
            prop_assert!(cut.parts() <= 10_000);
            let mut next = 0;
            for number in 1..=cut.parts() {
                let part = cut.part(number).unwrap();
                prop_assert_eq!(part.range.start, next);
                prop_assert!(bytes == 0 || !part.range.is_empty());
                next = part.range.end;
            }
            prop_assert_eq!(next, bytes);
            prop_assert_eq!(cut.part(cut.parts() + 1), None);
            prop_assert_eq!(cut.part(0), None);
        }
    }

    #[test]
    fn an_empty_object_is_one_empty_part() {
        let cut = Cut::new(0, 8, 10);
        assert_eq!(cut.parts(), 1);
        assert!(cut.part(1).unwrap().range.is_empty());
    }
}
