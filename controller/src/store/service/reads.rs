//! GET and HEAD of an object.

use std::sync::Arc;

use s3s::dto::*;

use super::ObjectService;
use super::answer::{count, etag, modified, signed};
use crate::store::body::ObjectBody;
use crate::store::conditions::{Conditions, Extent};
use crate::store::error::StoreResult;
use crate::store::object::{Object, ObjectInfo};

/// What S3 says of an object whose client named no type.
const CONTENT_TYPE: &str = "binary/octet-stream";

impl ObjectService {
    pub(super) fn read(&self, input: GetObjectInput) -> StoreResult<GetObjectOutput> {
        let object = self.bucket(&input.bucket)?.get(&input.key)?;
        let conditions = Conditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        conditions.check(&object.info)?;
        let extent = Extent::of(&object.info, input.range, input.part_number)?;
        let mut head = head(&object.info, &extent, input.checksum_mode.as_ref(), input.part_number);
        let range = extent.range(object.info.size);
        let body = ObjectBody::new(Arc::clone(&object), range, Arc::clone(&self.buffers));
        Ok(GetObjectOutput {
            body: Some(StreamingBlob::new(body)),
            accept_ranges: head.accept_ranges.take(),
            cache_control: input.response_cache_control.or(head.cache_control),
            checksum_crc32: head.checksum_crc32,
            checksum_crc32c: head.checksum_crc32c,
            checksum_crc64nvme: head.checksum_crc64nvme,
            checksum_sha1: head.checksum_sha1,
            checksum_sha256: head.checksum_sha256,
            checksum_type: head.checksum_type,
            content_disposition: input.response_content_disposition.or(head.content_disposition),
            content_encoding: input.response_content_encoding.or(head.content_encoding),
            content_language: input.response_content_language.or(head.content_language),
            content_length: head.content_length,
            content_range: head.content_range,
            content_type: input.response_content_type.or(head.content_type),
            e_tag: head.e_tag,
            last_modified: head.last_modified,
            metadata: head.metadata,
            parts_count: head.parts_count,
            ..Default::default()
        })
    }

    pub(super) fn head(&self, input: HeadObjectInput) -> StoreResult<HeadObjectOutput> {
        let object: Arc<Object> = self.bucket(&input.bucket)?.get(&input.key)?;
        let conditions = Conditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        conditions.check(&object.info)?;
        let extent = Extent::of(&object.info, input.range, input.part_number)?;
        Ok(head(&object.info, &extent, input.checksum_mode.as_ref(), input.part_number))
    }
}

fn head(
    info: &ObjectInfo,
    extent: &Extent,
    mode: Option<&ChecksumMode>,
    part: Option<i32>,
) -> HeadObjectOutput {
    let range = extent.range(info.size);
    let whole = *extent == Extent::Whole;
    // A checksum is one of the whole object, and goes with the whole object.
    let wanted = whole && mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    let sums = if wanted { info.checksums.clone() } else { Default::default() };
    let said = info.attributes.clone();
    HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        cache_control: said.cache_control,
        checksum_crc32: sums.crc32,
        checksum_crc32c: sums.crc32c,
        checksum_crc64nvme: sums.crc64nvme,
        checksum_sha1: sums.sha1,
        checksum_sha256: sums.sha256,
        checksum_type: wanted.then(|| ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        content_disposition: said.content_disposition,
        content_encoding: said.content_encoding,
        content_language: said.content_language,
        content_length: Some(signed(range.end - range.start)),
        content_range: (!whole).then(|| {
            format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), info.size)
        }),
        content_type: Some(said.content_type.unwrap_or_else(|| CONTENT_TYPE.to_owned())),
        e_tag: Some(etag(&info.etag)),
        last_modified: Some(modified(info)),
        metadata: Some(said.metadata.into_iter().collect()),
        parts_count: part.filter(|_| info.upload.is_some()).map(|_| count(info.segments.len())),
        ..Default::default()
    }
}
