//! What remains of uploads: sizes and digests.

use std::collections::BTreeMap;

use osmo_engine::digest::{Algorithm, Combined, Digest};
use osmo_engine::range::Range;

use super::catalog::Known;

const OBJECTS_MAX: usize = 1_000_000;
const UPLOADS_MAX: usize = 1_000;
const PARTS_MAX: u16 = 10_000;

/// Everything that was put.
#[derive(Debug, Default)]
pub(super) struct Sink {
    objects: BTreeMap<String, Stored>,
    uploads: BTreeMap<String, Upload>,
    begun: u64,
}

/// What is known of an object that was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) bytes: u64,
    /// CRC64NVME, base64.
    pub(super) crc64nvme: String,
}

#[derive(Debug)]
struct Upload {
    key: String,
    parts: BTreeMap<u16, Digest>,
}

impl Stored {
    pub(super) fn of(digest: &Digest) -> Self {
        let crc64nvme = Algorithm::Crc64Nvme.encode(digest.value());
        Self { bytes: digest.bytes(), crc64nvme }
    }

    /// Unlike an MD5, so that nobody compares it with one.
    pub(super) fn etag(&self) -> String {
        let printable: String = self.crc64nvme.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("\"{printable}-1\"")
    }
}

impl Sink {
    /// Keeps an object; false when it is full.
    pub(super) fn put(&mut self, key: &str, digest: &Digest) -> bool {
        let room = self.objects.len() < OBJECTS_MAX || self.objects.contains_key(key);
        if room {
            self.objects.insert(key.to_owned(), Stored::of(digest));
        }
        room
    }

    pub(super) fn find(&self, key: &str) -> Option<&Stored> {
        self.objects.get(key)
    }

    pub(super) fn delete(&mut self, key: &str) {
        self.objects.remove(key);
    }

    /// The first object at or after `key`.
    pub(super) fn from(&self, key: &str) -> Option<Known> {
        let (key, stored) = self.objects.range(key.to_owned()..).next()?;
        Some(Known { key: key.clone(), bytes: stored.bytes, id: 0 })
    }

    /// Begins an upload in parts; `None` when there are too many.
    pub(super) fn begin(&mut self, key: &str) -> Option<String> {
        if self.uploads.len() >= UPLOADS_MAX {
            return None;
        }
        self.begun += 1;
        let id = format!("model-{}", self.begun);
        self.uploads.insert(id.clone(), Upload { key: key.to_owned(), parts: BTreeMap::new() });
        Some(id)
    }

    /// Keeps a part; false for an unknown upload or number.
    pub(super) fn part(&mut self, key: &str, id: &str, number: u16, digest: Digest) -> bool {
        let upload = self.uploads.get_mut(id).filter(|upload| upload.key == key);
        let Some(upload) = upload.filter(|_| (1..=PARTS_MAX).contains(&number)) else {
            return false;
        };
        upload.parts.insert(number, digest);
        true
    }

    /// Puts an upload's parts together; `None` if there is no such upload, or
    /// nothing in it.
    pub(super) fn complete(&mut self, key: &str, id: &str) -> Option<Stored> {
        let upload = self.uploads.get(id)?;
        if upload.key != key || upload.parts.is_empty() || self.objects.len() >= OBJECTS_MAX {
            return None;
        }
        let bytes = upload.parts.values().map(Digest::bytes).sum();
        let mut whole = Combined::new(Algorithm::Crc64Nvme, bytes);
        let mut at = 0;
        for digest in upload.parts.values() {
            whole.add(Range::new(at, at + digest.bytes())?, digest.crc());
            at += digest.bytes();
        }
        let crc64nvme = Algorithm::Crc64Nvme.encode(whole.value()?);
        let stored = Stored { bytes, crc64nvme };
        self.uploads.remove(id);
        self.objects.insert(key.to_owned(), stored.clone());
        Some(stored)
    }

    /// Forgets an upload; false if there is none.
    pub(super) fn abort(&mut self, id: &str) -> bool {
        self.uploads.remove(id).is_some()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn digest(bytes: &[u8]) -> Digest {
        let mut digest = Digest::new(Algorithm::Crc64Nvme);
        digest.update(bytes);
        digest
    }

    // The check value of CRC-64/NVME, for "123456789".
    #[test]
    fn parts_make_the_whole_in_the_order_of_numbers() {
        let mut sink = Sink::default();
        let id = sink.begin("k").unwrap();
        assert!(sink.part("k", &id, 7, digest(b"6789")));
        assert!(sink.part("k", &id, 2, digest(b"lost")));
        assert!(sink.part("k", &id, 2, digest(b"12345")));
        assert!(!sink.part("k", &id, 0, digest(b"")));
        assert!(!sink.part("other", &id, 1, digest(b"")));
        assert_eq!(sink.complete("other", &id), None);
        let stored = sink.complete("k", &id).unwrap();
        assert_eq!((stored.bytes, stored.crc64nvme.as_str()), (9, "rosUhgp5mIg="));
        assert_eq!(sink.find("k"), Some(&stored));
        assert!(!sink.abort(&id));
    }

    #[test]
    fn an_empty_upload_is_none() {
        let mut sink = Sink::default();
        let id = sink.begin("k").unwrap();
        assert_eq!(sink.complete("k", &id), None);
        assert!(sink.abort(&id));
        assert_eq!(sink.from(""), None);
    }
}
