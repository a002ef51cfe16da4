//! One line of a journal: 64 bytes that stand for themselves.
//!
//! ```text
//!  0     1        4      8       12                        56        64
//!  kind  zero     run    epoch   fields of the kind        CRC-64/NVME
//! ```
//!
//! Integers are little-endian. A record that is torn, damaged or of another
//! version reads as none, and what it said is then simply not known.

use crate::digest::{Algorithm, Digest, KeptSum};

/// Bytes of a record.
pub(super) const RECORD_BYTES: usize = 64;
const SUMMED_BYTES: usize = 56;

/// The name of an object or a job: the first half of a SHA-256.
pub type Name = [u8; 16];

/// When a record was written: by which run of the job, and between which of its
/// commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Drawn at random by each run.
    pub(super) run: u32,
    /// Counts the run's commits.
    pub(super) epoch: u32,
}

/// What a file looked like when it was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its inode.
    pub inode: u64,
    /// Its size.
    pub bytes: u64,
    /// When it was written last: seconds since the epoch, and nanoseconds.
    pub modified: (i64, u32),
}

/// What a journal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// A run began, on the machine's boot of that number.
    Run { run: u32, boot: Name },
    /// What the run had recorded up to that epoch is durable.
    Durable { stamp: Stamp },
    /// An object is complete, and looked so.
    Done { stamp: Stamp, name: Name, look: Look },
    /// The parts that follow are of this object, cut so, digested so.
    Object { name: Name, bytes: u64, part_bytes: u64, sums: u8 },
    /// A part is in the file.
    Part { stamp: Stamp, number: u32, sum: KeptSum },
}

const RUN: u8 = 1;
const DURABLE: u8 = 2;
const DONE: u8 = 3;
const OBJECT: u8 = 4;
const PART: u8 = 5;

/// Fields one after the other.
struct Fields<'a>(&'a mut [u8]);

impl Fields<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let (now, later) = std::mem::take(&mut self.0).split_at_mut(bytes.len());
        now.copy_from_slice(bytes);
        self.0 = later;
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (now, later) = self.0.split_first_chunk()?;
        self.0 = later;
        Some(*now)
    }
}

impl Record {
    pub(super) fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        let (kind, stamp) = match self {
            Self::Run { run, .. } => (RUN, Stamp { run: *run, epoch: 0 }),
            Self::Durable { stamp } => (DURABLE, *stamp),
            Self::Done { stamp, .. } => (DONE, *stamp),
            Self::Object { .. } => (OBJECT, Stamp { run: 0, epoch: 0 }),
            Self::Part { stamp, .. } => (PART, *stamp),
        };
        let mut fields = Fields(&mut bytes);
        fields.put(&[kind, 0, 0, 0]);
        fields.put(&stamp.run.to_le_bytes());
        fields.put(&stamp.epoch.to_le_bytes());
        match self {
            Self::Run { boot, .. } => fields.put(boot),
            Self::Durable { .. } => {}
            Self::Done { name, look, .. } => {
                fields.put(name);
                fields.put(&look.inode.to_le_bytes());
                fields.put(&look.bytes.to_le_bytes());
                fields.put(&look.modified.0.to_le_bytes());
                fields.put(&look.modified.1.to_le_bytes());
            }
            Self::Object { name, bytes, part_bytes, sums } => {
                fields.put(name);
                fields.put(&bytes.to_le_bytes());
                fields.put(&part_bytes.to_le_bytes());
                fields.put(&[*sums]);
            }
            Self::Part { number, sum, .. } => {
                fields.put(&number.to_le_bytes());
                fields.put(sum);
            }
        }
        let crc = crc(&bytes[..SUMMED_BYTES]);
        bytes[SUMMED_BYTES..].copy_from_slice(&crc);
        bytes
    }

    pub(super) fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let record = Self::read(&bytes[..SUMMED_BYTES])?;
        // Its checksum, and that it says nothing beside what is read here.
        (record.encode() == *bytes).then_some(record)
    }

    fn read(fields: &[u8]) -> Option<Self> {
        let mut reader = Reader(fields);
        let [kind, ..] = reader.take::<4>()?;
        let stamp = Stamp {
            run: u32::from_le_bytes(reader.take()?),
            epoch: u32::from_le_bytes(reader.take()?),
        };
        Some(match kind {
            RUN => Self::Run { run: stamp.run, boot: reader.take()? },
            DURABLE => Self::Durable { stamp },
            DONE => Self::Done {
                stamp,
                name: reader.take()?,
                look: Look {
                    inode: u64::from_le_bytes(reader.take()?),
                    bytes: u64::from_le_bytes(reader.take()?),
                    modified: (
                        i64::from_le_bytes(reader.take()?),
                        u32::from_le_bytes(reader.take()?),
                    ),
                },
            },
            OBJECT => Self::Object {
                name: reader.take()?,
                bytes: u64::from_le_bytes(reader.take()?),
                part_bytes: u64::from_le_bytes(reader.take()?),
                sums: reader.take::<1>()?[0],
            },
            PART => Self::Part {
                stamp,
                number: u32::from_le_bytes(reader.take()?),
                sum: reader.take()?,
            },
            _ => return None,
        })
    }
}

/// Makes the checksum right, whatever the record says.
#[cfg(feature = "fuzz")]
pub(super) fn sealed(bytes: &mut [u8; RECORD_BYTES]) {
    let sum = crc(&bytes[..SUMMED_BYTES]);
    bytes[SUMMED_BYTES..].copy_from_slice(&sum);
}

fn crc(bytes: &[u8]) -> [u8; 8] {
    let mut digest = Digest::new(Algorithm::Crc64Nvme);
    digest.update(bytes);
    digest.value().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { run: 0x0102_0304, epoch: 7 };

    fn all() -> [Record; 5] {
        let name = *b"0123456789abcdef";
        let look = Look { inode: u64::MAX, bytes: 1 << 42, modified: (-1, 999_999_999) };
        [
            Record::Run { run: STAMP.run, boot: name },
            Record::Durable { stamp: STAMP },
            Record::Done { stamp: STAMP, name, look },
            Record::Object { name, bytes: u64::MAX, part_bytes: 8 << 20, sums: 3 },
            Record::Part { stamp: STAMP, number: u32::MAX, sum: [0xab; 32] },
        ]
    }

    #[test]
    fn what_was_written_is_read() {
        for record in all() {
            assert_eq!(Record::decode(&record.encode()), Some(record));
        }
    }

    #[test]
    fn a_damaged_record_is_none() {
        for record in all() {
            for bit in 0..RECORD_BYTES * 8 {
                let mut bytes = record.encode();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Record::decode(&bytes), None, "bit {bit} of {record:?}");
            }
        }
        assert_eq!(Record::decode(&[0; RECORD_BYTES]), None, "what a power loss may leave");
    }

    // The layout above, by hand; the CRC from `crc64nvme` of another program.
    #[test]
    fn the_layout_stays() {
        let bytes = Record::Durable { stamp: STAMP }.encode();
        assert_eq!(bytes[..12], [2, 0, 0, 0, 4, 3, 2, 1, 7, 0, 0, 0]);
        assert!(bytes[12..SUMMED_BYTES].iter().all(|byte| *byte == 0));
    }
}
