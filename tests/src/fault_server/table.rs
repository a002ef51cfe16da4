//! Objects and multipart uploads, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::checksum::crc64nvme;

/// Every part but the last one.
const PART_BYTES_MIN: usize = 5 << 20;
const PARTS_MAX: u32 = 10_000;

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) etag: String,
    pub(super) crc64nvme: String,
    pub(super) content_type: Option<String>,
    /// What is declared instead of the CRC64NVME.
    pub(super) declared: Option<Declared>,
    /// A field of the head that says how it is encrypted.
    pub(super) encryption: Option<(&'static str, &'static str)>,
}

/// A checksum that an object was stored with.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Its field, `x-amz-checksum-…`.
    pub field: &'static str,
    /// Its element in a document, `Checksum…`.
    pub element: &'static str,
    /// In base64; of a composite one with `-N` behind it.
    pub value: String,
    /// Size and value of each part of a composite one; empty, it is of the whole.
    pub parts: Vec<(usize, String)>,
}

impl Declared {
    /// As `x-amz-checksum-type` has it.
    pub(super) fn kind(&self) -> &'static str {
        if self.parts.is_empty() { "FULL_OBJECT" } else { "COMPOSITE" }
    }
}

#[derive(Debug, Default)]
struct Upload {
    key: String,
    content_type: Option<String>,
    parts: BTreeMap<u32, Object>,
}

/// One line of a completion.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) number: u32,
    pub(super) etag: String,
    pub(super) crc64nvme: Option<String>,
}

#[derive(Debug)]
pub(super) struct Table {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    pub(super) page_keys: usize,
    pub(super) page_parts: usize,
    /// What batches keep: the code, and how many times more.
    kept: BTreeMap<String, (&'static str, usize)>,
    next: u64,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            page_keys: 1_000,
            page_parts: 1_000,
            kept: BTreeMap::new(),
            next: 1,
        }
    }
}

/// S3's code for a refusal.
pub(super) type Refused<T> = Result<T, (u16, &'static str)>;

impl Table {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn made(&mut self, bytes: Vec<u8>, content_type: Option<String>, crc: Option<&str>) -> Object {
        let etag = format!("\"etag-{:08}\"", self.number());
        let crc64nvme = crc.map_or_else(|| crc64nvme(&bytes), str::to_owned);
        Object {
            bytes: Arc::new(bytes),
            etag,
            crc64nvme,
            content_type,
            declared: None,
            encryption: None,
        }
    }

    /// Stores an object; `crc` is its CRC64NVME if somebody has computed it.
    pub(super) fn put(
        &mut self,
        key: &str,
        bytes: Vec<u8>,
        kind: Option<String>,
        crc: Option<&str>,
    ) -> Object {
        let object = self.made(bytes, kind, crc);
        self.objects.insert(key.to_owned(), object.clone());
        object
    }

    pub(super) fn insert(&mut self, key: &str, bytes: Arc<Vec<u8>>, crc64nvme: String) {
        let etag = format!("\"etag-{:08}\"", self.number());
        let (content_type, declared, encryption) = (None, None, None);
        let object = Object { bytes, etag, crc64nvme, content_type, declared, encryption };
        self.objects.insert(key.to_owned(), object);
    }

    /// An object with this entity tag, of which no checksum is declared.
    pub(super) fn insert_tagged(
        &mut self,
        key: &str,
        bytes: Vec<u8>,
        etag: String,
        encryption: Option<(&'static str, &'static str)>,
    ) {
        let (bytes, crc64nvme, content_type) = (Arc::new(bytes), String::new(), None);
        let object = Object { bytes, etag, crc64nvme, content_type, declared: None, encryption };
        self.objects.insert(key.to_owned(), object);
    }

    /// Declares this of an object, and nothing else.
    pub(super) fn declare(&mut self, key: &str, declared: Declared) {
        if let Some(object) = self.objects.get_mut(key) {
            object.declared = Some(declared);
            object.crc64nvme.clear();
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Object> {
        self.objects.get(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.objects.keys().map(String::as_str)
    }

    pub(super) fn after(&self, key: &str) -> impl Iterator<Item = (&String, &Object)> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.objects.range::<str, _>((Excluded(key), Unbounded))
    }

    pub(super) fn delete(&mut self, key: &str) {
        self.objects.remove(key);
    }

    pub(super) fn keep(&mut self, key: &str, code: &'static str, times: usize) {
        self.kept.insert(key.to_owned(), (code, times));
    }

    /// Why a batch keeps `key` this time.
    pub(super) fn keeps(&mut self, key: &str) -> Option<&'static str> {
        let (code, left) = self.kept.get_mut(key).filter(|(_, left)| *left > 0)?;
        *left -= 1;
        Some(code)
    }

    pub(super) fn unfinished(&self) -> usize {
        self.uploads.len()
    }

    pub(super) fn create(&mut self, key: &str, content_type: Option<String>) -> String {
        let id = format!("upload-{:08}", self.number());
        let upload = Upload { key: key.to_owned(), content_type, parts: BTreeMap::new() };
        self.uploads.insert(id.clone(), upload);
        id
    }

    fn upload(&self, key: &str, id: &str) -> Refused<&Upload> {
        self.uploads.get(id).filter(|upload| upload.key == key).ok_or((404, "NoSuchUpload"))
    }

    pub(super) fn part(
        &mut self,
        (key, id): (&str, &str),
        number: u32,
        bytes: Vec<u8>,
        crc: Option<&str>,
    ) -> Refused<Object> {
        self.upload(key, id)?;
        if !(1..=PARTS_MAX).contains(&number) {
            return Err((400, "InvalidArgument"));
        }
        let part = self.made(bytes, None, crc);
        if let Some(upload) = self.uploads.get_mut(id) {
            upload.parts.insert(number, part.clone());
        }
        Ok(part)
    }

    pub(super) fn abort(&mut self, key: &str, id: &str) -> Refused<()> {
        self.upload(key, id)?;
        self.uploads.remove(id);
        Ok(())
    }

    /// Makes the object of its parts, which must be named in order, with their
    /// tags, none but the last one small; `whole` is the CRC64NVME of all.
    pub(super) fn complete(
        &mut self,
        (key, id): (&str, &str),
        named: &[Named],
        whole: Option<&str>,
    ) -> Refused<Object> {
        let upload = self.upload(key, id)?;
        if named.is_empty() {
            return Err((400, "MalformedXML"));
        }
        if !named.is_sorted_by(|a, b| a.number < b.number) {
            return Err((400, "InvalidPartOrder"));
        }
        let mut bytes = Vec::new();
        for (at, name) in named.iter().enumerate() {
            let part = upload.parts.get(&name.number).ok_or((400, "InvalidPart"))?;
            let same_tag = part.etag.trim_matches('"') == name.etag.trim_matches('"');
            let same_crc = name.crc64nvme.as_ref().is_none_or(|crc| *crc == part.crc64nvme);
            if !same_tag || !same_crc {
                return Err((400, "InvalidPart"));
            }
            if at + 1 < named.len() && part.bytes.len() < PART_BYTES_MIN {
                return Err((400, "EntityTooSmall"));
            }
            bytes.extend_from_slice(&part.bytes);
        }
        let content_type = upload.content_type.clone();
        let object = self.made(bytes, content_type, None);
        if whole.is_some_and(|crc| crc != object.crc64nvme) {
            return Err((400, "BadDigest"));
        }
        self.uploads.remove(id);
        self.objects.insert(key.to_owned(), object.clone());
        Ok(object)
    }
}
