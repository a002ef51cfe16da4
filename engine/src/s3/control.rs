//! What is asked of a store besides object bytes: list, head, and the life of
//! a multipart upload. Runs on the control thread.

use std::future::Future;
use std::pin::Pin;

use super::checksum::Rung;
use crate::error::{Error, Result};

/// A boxed answer; local to the control thread.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// What a store knows of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The whole key.
    pub key: String,
    /// Size in bytes.
    pub bytes: u64,
    /// The entity tag as the store wrote it, quotes included.
    pub etag: Option<String>,
    /// Seconds since the epoch.
    pub modified_s: Option<i64>,
    /// Checksums (`head` only): algorithm in lower case, value in base64, `-N`
    /// behind that of the checksums of N parts. The set of algorithms is open.
    pub checksums: Vec<(String, String)>,
    /// Whether its entity tag is that of encrypted bytes (`head` only).
    pub encrypted: bool,
}

/// One page of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Objects in the store's order.
    pub objects: Vec<ObjectInfo>,
    /// Common prefixes, when a delimiter was asked for.
    pub prefixes: Vec<String>,
    /// What to pass for the next page; `None` at the end.
    pub next: Option<String>,
}

/// A part that an object was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPart {
    /// From 1, with gaps where numbers were left out.
    pub number: u32,
    /// Size in bytes.
    pub bytes: u64,
    /// Its checksums: algorithm in lower case, value in base64.
    pub checksums: Vec<(String, String)>,
}

/// One page of an object's parts.
#[derive(Clone, Debug, Default)]
pub struct PartPage {
    /// In their order.
    pub parts: Vec<ListedPart>,
    /// After which number the next page begins; `None` at the end.
    pub next: Option<u32>,
}

/// A part that the store has acknowledged.
#[derive(Clone, Debug)]
pub struct PartDone {
    /// From 1.
    pub number: i32,
    /// The part's entity tag.
    pub etag: String,
    /// Its CRC64NVME, base64, if one was sent.
    pub crc64nvme: Option<String>,
}

impl PartDone {
    /// Without its checksum.
    #[must_use]
    pub fn bare(self) -> Self {
        Self { crc64nvme: None, ..self }
    }
}

/// What a store says of an object whose parts it has put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// The object's entity tag.
    pub etag: Option<String>,
    /// The whole object's CRC64NVME, base64.
    pub crc64nvme: Option<String>,
}

/// A key that a batch named and the store did not remove, and why not.
#[derive(Debug)]
pub struct Kept {
    /// The whole key.
    pub key: String,
    /// The store's reason.
    pub error: Error,
}

/// The control plane of one store.
pub trait Control {
    /// Waits for credentials that the store has not refused; whether there
    /// are any.
    fn fresh(&self) -> Pin<Box<dyn Future<Output = bool> + '_>> {
        Box::pin(std::future::ready(false))
    }

    /// Whether many keys can be deleted in one request.
    fn deletes_batches(&self) -> bool {
        true
    }

    /// Up to 1,000 keys that start with `prefix`, after the page token `next`.
    fn list<'a>(
        &'a self,
        bucket: &'a str,
        prefix: &'a str,
        delimiter: Option<&'a str>,
        next: Option<String>,
    ) -> Answer<'a, Page>;

    /// The object under exactly this key, `None` if there is none.
    fn head<'a>(&'a self, bucket: &'a str, key: &'a str) -> Answer<'a, Option<ObjectInfo>>;

    /// Up to 1,000 of the parts that the object was made of, after number `after`;
    /// many stores do not tell.
    fn parts<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        after: Option<u32>,
    ) -> Answer<'a, PartPage>;

    /// Begins a multipart upload, whose parts will be checked by `rung`, and
    /// names it.
    fn create<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        content_type: &'a str,
        rung: Rung,
    ) -> Answer<'a, String>;

    /// Ends a multipart upload. The whole object's CRC64NVME (base64), if
    /// given, is sent for the store to check; with `only_new`, an object that is
    /// there stays, and is an error (`Exists`).
    fn complete<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        upload: &'a str,
        parts: Vec<PartDone>,
        crc64nvme: Option<String>,
        only_new: bool,
    ) -> Answer<'a, Completed>;

    /// Gives a multipart upload up; one that is already gone is fine.
    fn abort<'a>(&'a self, bucket: &'a str, key: &'a str, upload: &'a str) -> Answer<'a, ()>;

    /// Removes up to 1,000 objects in one request, and answers with those that
    /// are still there; a key without an object is fine. Not every store takes
    /// batches.
    fn delete_batch<'a>(&'a self, bucket: &'a str, keys: &'a [String]) -> Answer<'a, Vec<Kept>>;

    /// Removes the object under exactly this key; no object is fine.
    fn delete<'a>(&'a self, bucket: &'a str, key: &'a str) -> Answer<'a, ()>;

    /// Whether the bucket answers to these credentials.
    fn reach<'a>(&'a self, bucket: &'a str) -> Answer<'a, ()>;
}
