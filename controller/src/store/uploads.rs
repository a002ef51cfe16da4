//! Multipart uploads: what has been begun, and how parts become an object.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::digest::{Checksums, multipart_etag};
use super::error::{StoreError, StoreResult};
use super::object::{Attributes, DataFile, Object, ObjectInfo, Segment, now_ms};

/// Every part but the last has at least this many bytes (S3's rule).
pub const PART_BYTES_MIN: u64 = 5 << 20;
/// Part numbers run from 1 to this.
pub const PART_NUMBER_MAX: i32 = 10_000;

/// What is known of one uploaded part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartInfo {
    /// Its ETag, unquoted.
    pub etag: String,
    /// When it arrived, in milliseconds since the epoch.
    pub modified_ms: u64,
    /// Checksums of the part alone.
    pub checksums: Checksums,
    /// Its bytes.
    pub segment: Segment,
}

/// A part that can be read.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) info: PartInfo,
    pub(super) data: Arc<DataFile>,
}

/// An upload that has been begun and not ended.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) attributes: Attributes,
    pub(super) started_ms: u64,
    /// The checksum algorithm that the client announced.
    pub(super) checksum: Option<String>,
    pub(super) parts: BTreeMap<i32, Part>,
}

/// A part as a completion names it.
#[derive(Clone, Debug)]
pub(super) struct PartClaim {
    pub(super) number: i32,
    pub(super) etag: String,
    pub(super) checksums: Checksums,
}

impl Upload {
    /// Joins the claimed parts into an object. Nothing is copied: the object's
    /// segments are the parts' data files, its checksums are joined from theirs.
    pub(super) fn assemble(&self, id: &str, claims: &[PartClaim]) -> StoreResult<Object> {
        let parts = self.claimed(claims)?;
        let mut joined: Option<(Checksums, u64)> = None;
        for part in &parts {
            let next = part.info.segment.bytes;
            joined = Some(match joined {
                None => (without_sha(&part.info.checksums), next),
                Some((sums, bytes)) => (sums.join(&part.info.checksums, next), bytes + next),
            });
        }
        let (checksums, size) = joined.unwrap_or_default();
        let info = ObjectInfo {
            size,
            etag: multipart_etag(parts.iter().map(|part| part.info.etag.as_str())),
            modified_ms: now_ms(),
            attributes: self.attributes.clone(),
            checksums,
            segments: parts.iter().map(|part| part.info.segment).collect(),
            upload: Some(id.to_owned()),
        };
        Ok(Object { info, files: parts.iter().map(|part| Arc::clone(&part.data)).collect() })
    }

    fn claimed(&self, claims: &[PartClaim]) -> StoreResult<Vec<&Part>> {
        if claims.is_empty() {
            return Err(StoreError::InvalidArgument("a completion must list its parts".to_owned()));
        }
        if !claims.is_sorted_by(|a, b| a.number < b.number) {
            return Err(StoreError::InvalidPartOrder);
        }
        let mut parts = Vec::with_capacity(claims.len());
        for (place, claim) in claims.iter().enumerate() {
            let part = self.parts.get(&claim.number).filter(|part| part.info.etag == claim.etag);
            let part = part.ok_or(StoreError::InvalidPart(claim.number))?;
            part.info
                .checksums
                .check(&claim.checksums)
                .map_err(|_| StoreError::InvalidPart(claim.number))?;
            let bytes = part.info.segment.bytes;
            if bytes < PART_BYTES_MIN && place + 1 < claims.len() {
                return Err(StoreError::EntityTooSmall { number: claim.number, bytes });
            }
            parts.push(part);
        }
        Ok(parts)
    }

    /// Has every part's file unlinked that `kept` does not use.
    pub(super) fn doom_except(&self, kept: Option<&Object>) {
        for part in self.parts.values() {
            let used =
                kept.is_some_and(|o| o.files.iter().any(|file| Arc::ptr_eq(file, &part.data)));
            if !used {
                part.data.doom();
            }
        }
    }
}

fn without_sha(sums: &Checksums) -> Checksums {
    Checksums { sha1: None, sha256: None, ..sums.clone() }
}
