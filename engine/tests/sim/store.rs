//! The store: objects in memory, every version of them remembered.

use std::cell::Cell;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use osmo_engine::clock::Chance;

/// What the store says of an object's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declares {
    Crc64,
    Crc32c,
    /// CRC32C over those of parts of so many bytes, which the store lists.
    OfParts(usize),
    /// An entity tag that is the MD5.
    Md5,
    Nothing,
}

/// Bytes that were the object at some time.
#[derive(Clone)]
pub(crate) struct Version {
    pub(crate) bytes: Rc<[u8]>,
    pub(crate) etag: String,
}

pub(crate) struct Stored {
    pub(crate) key: String,
    pub(crate) declares: Declares,
    /// The last one is the object now.
    pub(crate) versions: Vec<Version>,
    /// A bit of it was flipped in this life.
    pub(crate) was_flipped: Cell<bool>,
}

impl Stored {
    pub(crate) fn new(key: String, declares: Declares, bytes: usize, chance: &mut Chance) -> Self {
        let mut stored =
            Self { key, declares, versions: Vec::new(), was_flipped: Cell::new(false) };
        stored.change(bytes, chance);
        stored
    }

    pub(crate) fn now(&self) -> &Version {
        self.versions.last().expect("an object has a version")
    }

    /// Another version, of as many bytes.
    pub(crate) fn changes(&mut self, chance: &mut Chance) {
        self.change(self.now().bytes.len(), chance);
    }

    fn change(&mut self, bytes: usize, chance: &mut Chance) {
        let mut content = Vec::with_capacity(bytes + 8);
        while content.len() < bytes {
            content.extend(chance.next_bits().to_le_bytes());
        }
        content.truncate(bytes);
        let etag = match self.declares {
            Declares::Md5 => {
                let sum: [u8; 16] = Md5::digest(&content).into();
                sum.iter().map(|byte| format!("{byte:02x}")).collect()
            }
            _ => format!("version-{}-{:016x}", self.versions.len(), chance.next_bits()),
        };
        let version = Version { bytes: content.into(), etag: format!("\"{etag}\"") };
        self.versions.push(version);
    }

    /// Sizes and CRC32Cs of the parts that it was uploaded in.
    pub(crate) fn parts(&self) -> Vec<(usize, [u8; 4])> {
        let Declares::OfParts(part_bytes) = self.declares else { return Vec::new() };
        self.now().bytes.chunks(part_bytes).map(|part| (part.len(), crc32c(part))).collect()
    }

    /// Name and value as the store's answers have them.
    pub(crate) fn checksum(&self) -> Option<(&'static str, String)> {
        use crc_fast::{CrcAlgorithm, checksum};
        let bytes = &self.now().bytes;
        match self.declares {
            Declares::Crc64 => {
                let value = checksum(CrcAlgorithm::Crc64Nvme, bytes);
                Some(("crc64nvme", BASE64.encode(value.to_be_bytes())))
            }
            Declares::Crc32c => Some(("crc32c", BASE64.encode(crc32c(bytes)))),
            Declares::OfParts(_) => {
                let parts = self.parts();
                let values: Vec<u8> = parts.iter().flat_map(|(_, value)| *value).collect();
                let over = BASE64.encode(crc32c(&values));
                Some(("crc32c", format!("{over}-{}", parts.len())))
            }
            Declares::Md5 | Declares::Nothing => None,
        }
    }
}

fn crc32c(bytes: &[u8]) -> [u8; 4] {
    let value = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    u32::try_from(value).expect("32 bits").to_be_bytes()
}

pub(crate) fn base64(value: [u8; 4]) -> String {
    BASE64.encode(value)
}
