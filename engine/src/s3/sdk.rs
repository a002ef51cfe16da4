//! [`Control`] on the AWS SDK, whose own retries are off: one policy decides.

mod delete;
mod listing;
mod outcome;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
    EncodingType,
};

use super::control::{Answer, Control, Kept, ObjectInfo, Page, PartDone};
use super::fault::Subject;
use crate::error::{ErrorKind, Result};
use crate::net::Patience;
use outcome::Outcome;

/// Keys asked for at once; the protocol's own maximum.
const PAGE_KEYS: i32 = 1_000;

/// The control plane of one store, through the SDK.
pub(super) struct SdkControl {
    client: Client,
    outcome: Outcome,
}

impl SdkControl {
    /// A client for `url` (AWS without one), whose requests are signed with
    /// what `provider` has.
    pub(super) fn new(
        url: Option<&str>,
        region: &str,
        by_path: bool,
        provider: SharedCredentialsProvider,
    ) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Patience::DEFAULT.connect)
            .read_timeout(Patience::DEFAULT.first_byte)
            .operation_attempt_timeout(Patience::DEFAULT.control)
            .build();
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .credentials_provider(provider)
            .force_path_style(by_path)
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .timeout_config(timeouts);
        config.set_endpoint_url(url.map(str::to_owned));
        let outcome = Outcome::new(url.unwrap_or("AWS S3"), region);
        Self { client: Client::from_conf(config.build()), outcome }
    }
}

impl Control for SdkControl {
    fn list<'a>(
        &'a self,
        bucket: &'a str,
        prefix: &'a str,
        delimiter: Option<&'a str>,
        next: Option<String>,
    ) -> Answer<'a, Page> {
        Box::pin(async move {
            let subject = Subject { bucket, key: prefix, permission: "s3:ListBucket" };
            let answer = self
                .client
                .list_objects_v2()
                .bucket(bucket)
                .prefix(prefix)
                .set_delimiter(delimiter.map(str::to_owned))
                .set_continuation_token(next.clone())
                .encoding_type(EncodingType::Url)
                .max_keys(PAGE_KEYS)
                .send()
                .await
                .map_err(|fault| self.outcome.error(fault, subject))?;
            listing::page(&answer, next.as_deref())
                .map_err(|what| self.outcome.protocol(what, subject))
        })
    }

    fn head<'a>(&'a self, bucket: &'a str, key: &'a str) -> Answer<'a, Option<ObjectInfo>> {
        Box::pin(async move {
            let subject = Subject { bucket, key, permission: "s3:GetObject" };
            let answer = self
                .client
                .head_object()
                .bucket(bucket)
                .key(key)
                .checksum_mode(ChecksumMode::Enabled)
                .send()
                .await;
            match answer {
                Ok(answer) => self.object(key, &answer, subject).map(Some),
                Err(fault) => match self.outcome.error(fault, subject) {
                    missing if missing.kind() == ErrorKind::NotFound => Ok(None),
                    fault => Err(fault),
                },
            }
        })
    }

    fn create<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        content_type: &'a str,
    ) -> Answer<'a, String> {
        Box::pin(async move {
            let subject = Subject { bucket, key, permission: "s3:PutObject" };
            let answer = self
                .client
                .create_multipart_upload()
                .bucket(bucket)
                .key(key)
                .content_type(content_type)
                .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
                .checksum_type(ChecksumType::FullObject)
                .send()
                .await
                .map_err(|fault| self.outcome.error(fault, subject))?;
            answer
                .upload_id()
                .filter(|id| !id.is_empty())
                .map(str::to_owned)
                .ok_or_else(|| self.outcome.protocol("a multipart upload without an id", subject))
        })
    }

    fn complete<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        upload: &'a str,
        parts: Vec<PartDone>,
        crc64nvme: Option<String>,
    ) -> Answer<'a, Option<String>> {
        Box::pin(async move {
            let subject = Subject { bucket, key, permission: "s3:PutObject" };
            let whole = crc64nvme.is_some();
            let parts = parts.into_iter().map(completed).collect();
            let answer = self
                .client
                .complete_multipart_upload()
                .bucket(bucket)
                .key(key)
                .upload_id(upload)
                .set_checksum_crc64_nvme(crc64nvme)
                .set_checksum_type(whole.then_some(ChecksumType::FullObject))
                .multipart_upload(
                    CompletedMultipartUpload::builder().set_parts(Some(parts)).build(),
                )
                .send()
                .await
                .map_err(|fault| self.outcome.error(fault, subject))?;
            Ok(answer.e_tag().map(str::to_owned))
        })
    }

    fn abort<'a>(&'a self, bucket: &'a str, key: &'a str, upload: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let subject = Subject { bucket, key, permission: "s3:AbortMultipartUpload" };
            let request =
                self.client.abort_multipart_upload().bucket(bucket).key(key).upload_id(upload);
            match request.send().await {
                Ok(_) => Ok(()),
                Err(fault) => match self.outcome.error(fault, subject) {
                    gone if gone.kind() == ErrorKind::NotFound => Ok(()),
                    fault => Err(fault),
                },
            }
        })
    }

    fn delete_batch<'a>(&'a self, bucket: &'a str, keys: &'a [String]) -> Answer<'a, Vec<Kept>> {
        Box::pin(self.remove_batch(bucket, keys))
    }

    fn delete<'a>(&'a self, bucket: &'a str, key: &'a str) -> Answer<'a, ()> {
        Box::pin(self.remove(bucket, key))
    }

    fn reach<'a>(&'a self, bucket: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let subject = Subject { bucket, key: "", permission: "s3:ListBucket" };
            let answer = self.client.head_bucket().bucket(bucket).send().await;
            answer.map(|_| ()).map_err(|fault| self.outcome.error(fault, subject))
        })
    }
}

impl SdkControl {
    fn object(
        &self,
        key: &str,
        answer: &HeadObjectOutput,
        subject: Subject<'_>,
    ) -> Result<ObjectInfo> {
        let bytes = answer
            .content_length()
            .and_then(|bytes| u64::try_from(bytes).ok())
            .ok_or_else(|| self.outcome.protocol("an object without a size", subject))?;
        Ok(ObjectInfo {
            key: key.to_owned(),
            bytes,
            etag: answer.e_tag().map(str::to_owned),
            modified_s: answer.last_modified().map(aws_smithy_types::DateTime::secs),
            checksums: checksums(answer),
        })
    }
}

fn completed(part: PartDone) -> CompletedPart {
    CompletedPart::builder()
        .part_number(part.number)
        .e_tag(part.etag)
        .set_checksum_crc64_nvme(part.crc64nvme)
        .build()
}

/// The checksums over the whole object, under the names that a GET's head
/// gives them.
fn checksums(answer: &HeadObjectOutput) -> Vec<(String, String)> {
    if answer.checksum_type().is_some_and(|kind| *kind != ChecksumType::FullObject) {
        return Vec::new();
    }
    [
        ("crc32", answer.checksum_crc32()),
        ("crc32c", answer.checksum_crc32_c()),
        ("crc64nvme", answer.checksum_crc64_nvme()),
        ("sha1", answer.checksum_sha1()),
        ("sha256", answer.checksum_sha256()),
        ("sha512", answer.checksum_sha512()),
        ("md5", answer.checksum_md5()),
        ("xxhash64", answer.checksum_xxhash64()),
        ("xxhash3", answer.checksum_xxhash3()),
        ("xxhash128", answer.checksum_xxhash128()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .filter(|(_, value)| !value.contains('-'))
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}
