//! Multipart uploads.

use std::time::{Duration, SystemTime};

use s3s::S3Request;
use s3s::dto::*;

use super::ObjectService;
use super::answer::{count, etag, signed};
use super::lists::{Names, max_keys};
use super::writes::stored_encoding;
use crate::store::conditions::guard;
use crate::store::digest::{Checksums, Declared};
use crate::store::error::{StoreError, StoreResult};
use crate::store::object::Attributes;
use crate::store::receive::{announced, blocking, receive};
use crate::store::uploads::{PART_NUMBER_MAX, PartClaim, PartInfo};

impl ObjectService {
    pub(super) async fn begin(
        &self,
        input: CreateMultipartUploadInput,
    ) -> StoreResult<CreateMultipartUploadOutput> {
        let bucket = self.bucket(&input.bucket)?;
        let attributes = Attributes {
            content_type: input.content_type,
            content_encoding: input.content_encoding.and_then(|said| stored_encoding(&said)),
            content_language: input.content_language,
            content_disposition: input.content_disposition,
            cache_control: input.cache_control,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
        };
        let checksum = input.checksum_algorithm.as_ref().map(|a| a.as_str().to_owned());
        let key = input.key.clone();
        let id = blocking(move || bucket.begin_upload(&key, attributes, checksum)).await?;
        Ok(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            ..Default::default()
        })
    }

    pub(super) async fn part(
        &self,
        r: S3Request<UploadPartInput>,
    ) -> StoreResult<UploadPartOutput> {
        let (input, trailers) = (r.input, r.trailing_headers);
        let number = input.part_number;
        if !(1..=PART_NUMBER_MAX).contains(&number) {
            return Err(StoreError::InvalidArgument(format!(
                "part number {number} is not between 1 and {PART_NUMBER_MAX}"
            )));
        }
        let bucket = self.bucket(&input.bucket)?;
        let mut announced = announced(&r.headers);
        announced.extend(bucket.upload_checksum(&input.upload_id, &input.key)?);
        let declared = Declared {
            md5: input.content_md5,
            checksums: Checksums {
                crc32: input.checksum_crc32,
                crc32c: input.checksum_crc32c,
                crc64nvme: input.checksum_crc64nvme,
                sha1: input.checksum_sha1,
                sha256: input.checksum_sha256,
            },
            announced,
            length: input.content_length.and_then(|n| u64::try_from(n).ok()),
        };
        let staged = receive(&bucket, input.body, declared, trailers.as_ref()).await?;
        let (id, key) = (input.upload_id, input.key);
        let info = blocking(move || bucket.put_part(&id, &key, number, staged)).await?;
        Ok(UploadPartOutput {
            e_tag: Some(etag(&info.etag)),
            checksum_crc32: info.checksums.crc32,
            checksum_crc32c: info.checksums.crc32c,
            checksum_crc64nvme: info.checksums.crc64nvme,
            checksum_sha1: info.checksums.sha1,
            checksum_sha256: info.checksums.sha256,
            ..Default::default()
        })
    }

    pub(super) async fn complete(
        &self,
        input: CompleteMultipartUploadInput,
    ) -> StoreResult<CompleteMultipartUploadOutput> {
        let bucket = self.bucket(&input.bucket)?;
        let guard = guard(input.if_match, input.if_none_match)?;
        let parts = input.multipart_upload.and_then(|list| list.parts).unwrap_or_default();
        let claims = parts.into_iter().map(claim).collect::<StoreResult<Vec<_>>>()?;
        let declared = Checksums {
            crc32: input.checksum_crc32.filter(|sum| of_whole(sum)),
            crc32c: input.checksum_crc32c.filter(|sum| of_whole(sum)),
            crc64nvme: input.checksum_crc64nvme,
            sha1: None,
            sha256: None,
        };
        let size = input.mpu_object_size.and_then(|n| u64::try_from(n).ok());
        let (id, key) = (input.upload_id, input.key.clone());
        let object = blocking(move || {
            bucket.complete(&id, &key, &claims, &guard, |info| {
                info.checksums.check(&declared)?;
                match size {
                    Some(size) if size != info.size => Err(StoreError::InvalidArgument(format!(
                        "the parts have {} bytes together, the request says {size}",
                        info.size
                    ))),
                    _ => Ok(()),
                }
            })
        })
        .await?;
        let sums = object.info.checksums.clone();
        Ok(CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, Names::Url.write(&input.key))),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(etag(&object.info.etag)),
            checksum_crc32: sums.crc32,
            checksum_crc32c: sums.crc32c,
            checksum_crc64nvme: sums.crc64nvme,
            checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
            ..Default::default()
        })
    }

    pub(super) async fn abort(
        &self,
        input: AbortMultipartUploadInput,
    ) -> StoreResult<AbortMultipartUploadOutput> {
        let bucket = self.bucket(&input.bucket)?;
        blocking(move || bucket.abort(&input.upload_id, &input.key)).await?;
        Ok(AbortMultipartUploadOutput::default())
    }

    pub(super) fn parts(&self, input: ListPartsInput) -> StoreResult<ListPartsOutput> {
        let upload = self.bucket(&input.bucket)?.upload(&input.upload_id, &input.key)?;
        let max = max_keys(input.max_parts)?;
        let after = input.part_number_marker.unwrap_or(0);
        let mut rest = upload.parts.range(after.saturating_add(1)..);
        let parts: Vec<Part> =
            rest.by_ref().take(max).map(|(number, part)| entry(*number, &part.info)).collect();
        let truncated = max > 0 && rest.next().is_some();
        Ok(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            is_truncated: Some(truncated),
            max_parts: Some(count(max)),
            part_number_marker: Some(after),
            next_part_number_marker: parts.last().filter(|_| truncated).and_then(|p| p.part_number),
            parts: Some(parts),
            checksum_algorithm: upload.checksum.map(ChecksumAlgorithm::from),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            ..Default::default()
        })
    }

    pub(super) fn uploads(
        &self,
        input: ListMultipartUploadsInput,
    ) -> StoreResult<ListMultipartUploadsOutput> {
        let names = Names::of(input.encoding_type.as_ref())?;
        let bucket = self.bucket(&input.bucket)?;
        let max = max_keys(input.max_uploads)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = (input.key_marker.unwrap_or_default(), input.upload_id_marker);
        let mut found: Vec<(String, String, u64)> = {
            let index = bucket.read();
            let open = index.uploads.iter().filter(|(_, upload)| upload.key.starts_with(&prefix));
            open.map(|(id, upload)| (upload.key.clone(), id.clone(), upload.started_ms)).collect()
        };
        found.sort_unstable();
        found.retain(|(key, id, _)| match &after.1 {
            Some(marker) => (key, id) > (&after.0, marker),
            None => after.0.is_empty() || *key > after.0,
        });
        let truncated = max > 0 && found.len() > max;
        found.truncate(max);
        let last = found.last().filter(|_| truncated).cloned();
        Ok(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: Some(names.write(&prefix)),
            is_truncated: Some(truncated),
            max_uploads: Some(count(max)),
            next_key_marker: last.as_ref().map(|(key, _, _)| names.write(key)),
            next_upload_id_marker: last.map(|(_, id, _)| id),
            uploads: Some(found.into_iter().map(|found| open_upload(names, found)).collect()),
            encoding_type: input.encoding_type,
            ..Default::default()
        })
    }
}

fn claim(part: CompletedPart) -> StoreResult<PartClaim> {
    let number = part.part_number.ok_or(StoreError::InvalidPart(0))?;
    let etag = part.e_tag.ok_or(StoreError::InvalidPart(number))?;
    let checksums = Checksums {
        crc32: part.checksum_crc32,
        crc32c: part.checksum_crc32c,
        crc64nvme: part.checksum_crc64nvme,
        sha1: part.checksum_sha1,
        sha256: part.checksum_sha256,
    };
    Ok(PartClaim { number, etag: etag.into_value(), checksums })
}

/// A composite checksum (`…-N`) is one of the parts' checksums, which have been
/// checked one by one.
fn of_whole(value: &str) -> bool {
    !value.contains('-')
}

fn entry(number: i32, info: &PartInfo) -> Part {
    let sums = info.checksums.clone();
    Part {
        part_number: Some(number),
        e_tag: Some(etag(&info.etag)),
        size: Some(signed(info.segment.bytes)),
        last_modified: Some(time(info.modified_ms)),
        checksum_crc32: sums.crc32,
        checksum_crc32c: sums.crc32c,
        checksum_crc64nvme: sums.crc64nvme,
        checksum_sha1: sums.sha1,
        checksum_sha256: sums.sha256,
    }
}

fn open_upload(names: Names, (key, id, started_ms): (String, String, u64)) -> MultipartUpload {
    MultipartUpload {
        key: Some(names.write(&key)),
        upload_id: Some(id),
        initiated: Some(time(started_ms)),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        ..Default::default()
    }
}

fn time(ms: u64) -> Timestamp {
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_millis(ms))
}
