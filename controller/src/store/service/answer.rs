//! How the store's values look in an S3 answer.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use s3s::dto::{ETag, Timestamp};
use s3s::{S3Error, S3ErrorCode};

use crate::store::error::StoreError;
use crate::store::object::ObjectInfo;

/// An ETag as it is written: quoted.
pub(super) fn etag(value: &str) -> ETag {
    ETag::Strong(value.to_owned())
}

pub(super) fn modified(info: &ObjectInfo) -> Timestamp {
    Timestamp::from(info.modified())
}

/// A count as S3's signed numbers; nothing here comes near the limit.
pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A small count as S3's signed numbers.
pub(super) fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl From<StoreError> for S3Error {
    fn from(error: StoreError) -> Self {
        let mut answer = Self::with_message(code(&error), error.to_string());
        match &error {
            StoreError::NotModified { etag } => {
                let value = HeaderValue::from_str(&format!("\"{etag}\""));
                answer.set_headers(value.map(|v| one(header::ETAG, v)).unwrap_or_default());
            }
            StoreError::InvalidRange { size } => {
                let value = HeaderValue::from_str(&format!("bytes */{size}"));
                let mut headers = value.map(|v| one(header::CONTENT_RANGE, v)).unwrap_or_default();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
                answer.set_headers(headers);
            }
            StoreError::KeyLength(_) => answer.set_status_code(StatusCode::BAD_REQUEST),
            StoreError::PayloadHash => answer.set_status_code(StatusCode::BAD_REQUEST),
            StoreError::Io { .. } | StoreError::Corrupt { .. } | StoreError::Worker => {
                tracing::warn!(%error, "answer a store request with an internal error");
            }
            _ => {}
        }
        answer
    }
}

fn one(name: header::HeaderName, value: HeaderValue) -> HeaderMap {
    HeaderMap::from_iter([(name, value)])
}

fn code(error: &StoreError) -> S3ErrorCode {
    match error {
        StoreError::NoSuchBucket(_) => S3ErrorCode::NoSuchBucket,
        StoreError::NoSuchKey(_) => S3ErrorCode::NoSuchKey,
        StoreError::NoSuchUpload(_) => S3ErrorCode::NoSuchUpload,
        StoreError::BucketExists(_) => S3ErrorCode::BucketAlreadyOwnedByYou,
        StoreError::BucketNotEmpty(_) => S3ErrorCode::BucketNotEmpty,
        StoreError::InvalidBucketName(_) => S3ErrorCode::InvalidBucketName,
        StoreError::KeyLength(_) => S3ErrorCode::KeyTooLongError,
        StoreError::InvalidArgument(_) => S3ErrorCode::InvalidArgument,
        StoreError::PreconditionFailed(_) => S3ErrorCode::PreconditionFailed,
        StoreError::NotModified { .. } => S3ErrorCode::NotModified,
        StoreError::InvalidRange { .. } => S3ErrorCode::InvalidRange,
        StoreError::BadDigest { .. } => S3ErrorCode::BadDigest,
        StoreError::InvalidDigest(_) => S3ErrorCode::InvalidDigest,
        StoreError::PayloadHash => S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()),
        StoreError::ChunkSignature => S3ErrorCode::SignatureDoesNotMatch,
        StoreError::InvalidPart(_) => S3ErrorCode::InvalidPart,
        StoreError::InvalidPartOrder => S3ErrorCode::InvalidPartOrder,
        StoreError::EntityTooSmall { .. } => S3ErrorCode::EntityTooSmall,
        StoreError::IncompleteBody(_) => S3ErrorCode::IncompleteBody,
        StoreError::InUse(_)
        | StoreError::Corrupt { .. }
        | StoreError::Io { .. }
        | StoreError::Worker => S3ErrorCode::InternalError,
    }
}
