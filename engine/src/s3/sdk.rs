//! [`Control`] on the AWS SDK, whose own retries are off: one policy decides.

mod configured;
mod delete;
mod listing;
mod outcome;
mod parts;
mod whole;
mod words;

use std::cell::OnceCell;
use std::future::Future;
use std::pin::Pin;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, EncodingType,
    RequestPayer, StorageClass,
};

use super::aws;
use super::checksum::Rung;
use super::control::{Answer, Completed, Control, Kept, ObjectInfo, Page, PartDone, PartPage};
use super::fault::Subject;
use super::verdict::Signed;
use super::{Contact, FRESH_MAX};
use crate::error::{ErrorKind, Result};
use crate::job::StoreOptions;
use crate::net::Patience;
use configured::client;
use outcome::Outcome;
use words::{checksums, completed, encrypted, encryption, in_head};

/// Keys asked for at once; the protocol's own maximum.
const PAGE_KEYS: i32 = 1_000;

/// The control plane of one store, through the SDK.
pub(super) struct SdkControl {
    bucket: String,
    home: Client,
    /// The same where the bucket turned out to be.
    moved: OnceCell<Client>,
    outcome: Outcome,
    patience: Patience,
    deletes_batches: bool,
}

impl SdkControl {
    /// A client for `bucket` at the contact's endpoint, whose requests are
    /// signed with what the contact has and carry what its options say.
    pub(super) fn new(contact: &Contact, bucket: &str, patience: Patience) -> Self {
        Self {
            bucket: bucket.to_owned(),
            home: client(contact, bucket, &patience),
            moved: OnceCell::new(),
            outcome: Outcome::new(contact.clone()),
            patience,
            deletes_batches: true,
        }
    }

    /// The same for a store without batches of deletions.
    pub(super) fn one_delete_each(mut self) -> Self {
        self.deletes_batches = false;
        self
    }

    /// The region that AWS says the bucket is in; with the answer to a HEAD of
    /// the bucket, which tells it to whoever asks.
    pub(super) async fn region(&self) -> Option<String> {
        match self.client().0.head_bucket().bucket(&self.bucket).send().await {
            Ok(answer) => answer.bucket_region().map(str::to_owned),
            Err(fault) => {
                fault.raw_response()?.headers().get("x-amz-bucket-region").map(str::to_owned)
            }
        }
        .filter(|region| aws::is_region(region))
    }

    /// The client to ask, and what its request is signed with and for.
    fn client(&self) -> (&Client, Signed) {
        let contact = self.outcome.contact();
        let signed = Signed {
            generation: contact.credentials.current().generation,
            region: contact.endpoint.region().to_owned(),
            rung: Rung::None,
        };
        let client = match contact.endpoint.has_moved() {
            true => self.moved.get_or_init(|| client(contact, &self.bucket, &self.patience)),
            false => &self.home,
        };
        (client, signed)
    }

    /// For the one call that may take minutes before its answer begins.
    fn slow(&self) -> Builder {
        let Patience { connect, control, .. } = self.patience;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(connect)
            .read_timeout(control)
            .operation_attempt_timeout(control);
        Builder::default().timeout_config(timeouts.build())
    }

    fn store(&self) -> &str {
        self.outcome.contact().endpoint.store()
    }

    fn options(&self) -> &StoreOptions {
        &self.outcome.contact().options
    }

    fn payer(&self) -> Option<RequestPayer> {
        self.options().request_payer.then_some(RequestPayer::Requester)
    }
}

impl Control for SdkControl {
    fn fresh(&self) -> Pin<Box<dyn Future<Output = bool> + '_>> {
        let fresh = self.outcome.contact().credentials.fresh();
        Box::pin(async { tokio::time::timeout(FRESH_MAX, fresh).await.unwrap_or(false) })
    }

    fn deletes_batches(&self) -> bool {
        self.deletes_batches
    }

    fn list<'a>(
        &'a self,
        bucket: &'a str,
        prefix: &'a str,
        delimiter: Option<&'a str>,
        next: Option<String>,
    ) -> Answer<'a, Page> {
        Box::pin(async move {
            let subject =
                Subject { store: self.store(), bucket, key: prefix, permission: "s3:ListBucket" };
            let (client, signed) = self.client();
            let answer = client
                .list_objects_v2()
                .bucket(bucket)
                .prefix(prefix)
                .set_delimiter(delimiter.map(str::to_owned))
                .set_continuation_token(next.clone())
                .encoding_type(EncodingType::Url)
                .max_keys(PAGE_KEYS)
                .set_request_payer(self.payer())
                .send()
                .await
                .map_err(|fault| self.outcome.error(fault, subject, &signed))?;
            listing::page(&answer, next.as_deref())
                .map_err(|what| self.outcome.protocol(what, subject))
        })
    }

    fn head<'a>(&'a self, bucket: &'a str, key: &'a str) -> Answer<'a, Option<ObjectInfo>> {
        Box::pin(async move {
            let subject = Subject { store: self.store(), bucket, key, permission: "s3:GetObject" };
            let (client, signed) = self.client();
            let answer = client
                .head_object()
                .bucket(bucket)
                .key(key)
                .checksum_mode(ChecksumMode::Enabled)
                .set_request_payer(self.payer())
                .send()
                .await;
            match answer {
                Ok(answer) => self.object(key, &answer, subject).map(Some),
                Err(fault) => match self.outcome.error(fault, subject, &signed) {
                    missing if missing.kind() == ErrorKind::NotFound => Ok(None),
                    fault => Err(fault),
                },
            }
        })
    }

    fn parts<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        after: Option<u32>,
    ) -> Answer<'a, PartPage> {
        Box::pin(self.list_parts(bucket, key, after))
    }

    fn create<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        content_type: &'a str,
        rung: Rung,
    ) -> Answer<'a, String> {
        Box::pin(async move {
            let subject = Subject { store: self.store(), bucket, key, permission: "s3:PutObject" };
            let options = self.options();
            let (encryption, encryption_key) = encryption(options);
            let class = options.storage_class.as_deref().map(StorageClass::from);
            let (client, signed) = self.client();
            let signed = Signed { rung: in_head(rung.is_crc()), ..signed };
            let answer = client
                .create_multipart_upload()
                .bucket(bucket)
                .key(key)
                .content_type(options.content_type.as_deref().unwrap_or(content_type))
                .set_checksum_algorithm(rung.is_crc().then_some(ChecksumAlgorithm::Crc64Nvme))
                .set_checksum_type(rung.is_crc().then_some(ChecksumType::FullObject))
                .set_request_payer(self.payer())
                .set_server_side_encryption(encryption)
                .set_ssekms_key_id(encryption_key)
                .set_storage_class(class)
                .send()
                .await
                .map_err(|fault| self.outcome.error(fault, subject, &signed))?;
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
        only_new: bool,
    ) -> Answer<'a, Completed> {
        Box::pin(async move {
            let subject = Subject { store: self.store(), bucket, key, permission: "s3:PutObject" };
            let whole = crc64nvme.is_some();
            let parts = parts.into_iter().map(completed).collect();
            let (client, signed) = self.client();
            let signed = Signed { rung: in_head(whole), ..signed };
            let answer = client
                .complete_multipart_upload()
                .bucket(bucket)
                .key(key)
                .upload_id(upload)
                .set_checksum_crc64_nvme(crc64nvme)
                .set_checksum_type(whole.then_some(ChecksumType::FullObject))
                .set_request_payer(self.payer())
                .set_if_none_match(only_new.then(|| "*".to_owned()))
                .multipart_upload(
                    CompletedMultipartUpload::builder().set_parts(Some(parts)).build(),
                )
                .customize()
                .config_override(self.slow())
                .send()
                .await
                .map_err(|fault| self.outcome.error(fault, subject, &signed))
                .map_err(|error| match error.kind() {
                    ErrorKind::Changed if only_new => subject.taken(),
                    _ => error,
                })?;
            Ok(Completed {
                etag: answer.e_tag().map(str::to_owned),
                crc64nvme: answer.checksum_crc64_nvme().map(str::to_owned),
            })
        })
    }

    fn abort<'a>(&'a self, bucket: &'a str, key: &'a str, upload: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let subject =
                Subject { store: self.store(), bucket, key, permission: "s3:AbortMultipartUpload" };
            let (client, signed) = self.client();
            let request = client
                .abort_multipart_upload()
                .bucket(bucket)
                .key(key)
                .upload_id(upload)
                .set_request_payer(self.payer());
            match request.send().await {
                Ok(_) => Ok(()),
                Err(fault) => match self.outcome.error(fault, subject, &signed) {
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
            let subject =
                Subject { store: self.store(), bucket, key: "", permission: "s3:ListBucket" };
            let (client, signed) = self.client();
            let answer = client.head_bucket().bucket(bucket).send().await;
            answer.map(|_| ()).map_err(|fault| self.outcome.error(fault, subject, &signed))
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
            encrypted: encrypted(answer),
        })
    }
}

#[cfg(test)]
mod tests;
