//! What we say and what the SDK says, one in the words of the other.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ChecksumType, CompletedPart, ServerSideEncryption};

use crate::job::{Encryption, StoreOptions};
use crate::s3::checksum::Rung;
use crate::s3::control::PartDone;
use crate::s3::get::is_clear;

/// The calls around a multipart upload name CRC64NVME in their heads, or they
/// name nothing.
pub(super) fn in_head(crc: bool) -> Rung {
    if crc { Rung::Header } else { Rung::None }
}

pub(super) fn encryption(options: &StoreOptions) -> (Option<ServerSideEncryption>, Option<String>) {
    match &options.encryption {
        None => (None, None),
        Some(Encryption::S3) => (Some(ServerSideEncryption::Aes256), None),
        Some(Encryption::Kms(key)) => (Some(ServerSideEncryption::AwsKms), key.clone()),
    }
}

pub(super) fn completed(part: PartDone) -> CompletedPart {
    CompletedPart::builder()
        .part_number(part.number)
        .e_tag(part.etag)
        .set_checksum_crc64_nvme(part.crc64nvme)
        .build()
}

/// As [`crate::s3::get`] reads it from a head.
pub(super) fn encrypted(answer: &HeadObjectOutput) -> bool {
    let by_service =
        answer.server_side_encryption().is_some_and(|how| how.as_str().starts_with("aws:kms"));
    by_service || answer.sse_customer_algorithm().is_some()
}

/// The checksums that an answer names, under the names that a GET's head gives
/// them. The SDK's answers share these names and no trait.
macro_rules! declared {
    ($answer:expr) => {
        [
            ("crc32", $answer.checksum_crc32()),
            ("crc32c", $answer.checksum_crc32_c()),
            ("crc64nvme", $answer.checksum_crc64_nvme()),
            ("sha1", $answer.checksum_sha1()),
            ("sha256", $answer.checksum_sha256()),
            ("sha512", $answer.checksum_sha512()),
            ("md5", $answer.checksum_md5()),
            ("xxhash64", $answer.checksum_xxhash64()),
            ("xxhash3", $answer.checksum_xxhash3()),
            ("xxhash128", $answer.checksum_xxhash128()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect::<Vec<_>>()
    };
}
pub(super) use declared;

/// As [`crate::s3::get`] reads them from a head.
pub(super) fn checksums(answer: &HeadObjectOutput) -> Vec<(String, String)> {
    let kind = answer.checksum_type().map(ChecksumType::as_str);
    declared!(answer).into_iter().filter(|(_, value)| is_clear(kind, value)).collect()
}
