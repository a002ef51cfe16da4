//! PUT, copy and delete.

use s3s::S3Request;
use s3s::dto::*;

use super::ObjectService;
use super::answer::{etag, modified, signed};
use crate::store::conditions::{Conditions, guard};
use crate::store::digest::{Checksums, Declared};
use crate::store::error::{StoreError, StoreResult};
use crate::store::object::Attributes;
use crate::store::receive::{announced, blocking, receive};

/// Keys that one DeleteObjects may name (S3's rule).
const DELETE_KEYS_MAX: usize = 1000;

impl ObjectService {
    pub(super) async fn write(&self, r: S3Request<PutObjectInput>) -> StoreResult<PutObjectOutput> {
        let (input, trailers) = (r.input, r.trailing_headers);
        let bucket = self.bucket(&input.bucket)?;
        let guard = guard(input.if_match, input.if_none_match)?;
        let declared = Declared {
            md5: input.content_md5,
            checksums: Checksums {
                crc32: input.checksum_crc32,
                crc32c: input.checksum_crc32c,
                crc64nvme: input.checksum_crc64nvme,
                sha1: input.checksum_sha1,
                sha256: input.checksum_sha256,
            },
            announced: announced(&r.headers),
            length: input.content_length.and_then(|n| u64::try_from(n).ok()),
        };
        let attributes = Attributes {
            content_type: input.content_type,
            content_encoding: input.content_encoding.and_then(|said| stored_encoding(&said)),
            content_language: input.content_language,
            content_disposition: input.content_disposition,
            cache_control: input.cache_control,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
        };
        let staged = receive(&bucket, input.body, declared, trailers.as_ref()).await?;
        let key = input.key;
        let object = blocking(move || bucket.put(&key, staged, attributes, &guard)).await?;
        let sums = object.info.checksums.clone();
        Ok(PutObjectOutput {
            e_tag: Some(etag(&object.info.etag)),
            checksum_crc32: sums.crc32,
            checksum_crc32c: sums.crc32c,
            checksum_crc64nvme: sums.crc64nvme,
            checksum_sha1: sums.sha1,
            checksum_sha256: sums.sha256,
            checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
            size: Some(signed(object.info.size)),
            ..Default::default()
        })
    }

    pub(super) async fn copy(&self, input: CopyObjectInput) -> StoreResult<CopyObjectOutput> {
        let CopySource::Bucket { bucket, key, .. } = &input.copy_source else {
            return Err(StoreError::InvalidArgument(
                "the copy source must be a bucket and a key".to_owned(),
            ));
        };
        let source = self.bucket(bucket)?.get(key)?;
        let conditions = Conditions {
            if_match: input.copy_source_if_match,
            if_none_match: input.copy_source_if_none_match,
            if_modified_since: input.copy_source_if_modified_since,
            if_unmodified_since: input.copy_source_if_unmodified_since,
        };
        conditions.check(&source.info).map_err(|error| match error {
            StoreError::NotModified { .. } => {
                StoreError::PreconditionFailed("x-amz-copy-source-if")
            }
            other => other,
        })?;
        let replace = input
            .metadata_directive
            .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
        if !replace && **bucket == *input.bucket && **key == *input.key {
            return Err(StoreError::InvalidArgument(
                "a copy onto itself must replace the metadata".to_owned(),
            ));
        }
        let attributes = replace.then(|| Attributes {
            content_type: input.content_type,
            content_encoding: input.content_encoding,
            content_language: input.content_language,
            content_disposition: input.content_disposition,
            cache_control: input.cache_control,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
        });
        let (to, key) = (self.bucket(&input.bucket)?, input.key);
        let object = blocking(move || to.copy(&source, &key, attributes)).await?;
        let sums = object.info.checksums.clone();
        Ok(CopyObjectOutput {
            copy_object_result: Some(CopyObjectResult {
                e_tag: Some(etag(&object.info.etag)),
                last_modified: Some(modified(&object.info)),
                checksum_crc32: sums.crc32,
                checksum_crc32c: sums.crc32c,
                checksum_crc64nvme: sums.crc64nvme,
                checksum_sha1: sums.sha1,
                checksum_sha256: sums.sha256,
                checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
            }),
            ..Default::default()
        })
    }

    pub(super) async fn delete(&self, input: DeleteObjectInput) -> StoreResult<DeleteObjectOutput> {
        let (bucket, key) = (self.bucket(&input.bucket)?, input.key);
        let guard = guard(input.if_match, None)?;
        blocking(move || bucket.delete(&key, &guard)).await?;
        Ok(DeleteObjectOutput::default())
    }

    pub(super) async fn delete_many(
        &self,
        input: DeleteObjectsInput,
    ) -> StoreResult<DeleteObjectsOutput> {
        let bucket = self.bucket(&input.bucket)?;
        let (objects, quiet) = (input.delete.objects, input.delete.quiet == Some(true));
        if objects.len() > DELETE_KEYS_MAX {
            return Err(StoreError::InvalidArgument(format!(
                "one DeleteObjects names at most {DELETE_KEYS_MAX} keys"
            )));
        }
        let (deleted, errors) = blocking(move || {
            let (mut deleted, mut errors) = (Vec::new(), Vec::new());
            for object in objects {
                let guard = guard(object.e_tag.map(ETagCondition::ETag), None)?;
                match bucket.delete(&object.key, &guard) {
                    Ok(()) => {
                        deleted.push(DeletedObject { key: Some(object.key), ..Default::default() })
                    }
                    Err(error) => errors.push(refusal(object.key, error)),
                }
            }
            Ok((deleted, errors))
        })
        .await?;
        Ok(DeleteObjectsOutput {
            deleted: (!quiet).then_some(deleted),
            errors: Some(errors),
            ..Default::default()
        })
    }
}

fn refusal(key: String, error: StoreError) -> Error {
    let answer = s3s::S3Error::from(error);
    Error {
        code: Some(answer.code().as_str().to_owned()),
        message: answer.message().map(str::to_owned),
        key: Some(key),
        version_id: None,
    }
}

/// `aws-chunked` is how the body travelled, not what the object is.
pub(super) fn stored_encoding(said: &str) -> Option<String> {
    let kept: Vec<&str> = said
        .split(',')
        .map(str::trim)
        .filter(|name| *name != "aws-chunked" && !name.is_empty())
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}
