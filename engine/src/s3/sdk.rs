//! [`Control`] on the AWS SDK, whose own retries are off: one policy decides.

mod delete;
mod listing;
mod outcome;
mod whole;

use std::cell::OnceCell;
use std::future::Future;
use std::pin::Pin;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Config, IdentityCache, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
    EncodingType, RequestPayer, ServerSideEncryption, StorageClass,
};

use super::aws;
use super::checksum::Rung;
use super::client::http_client;
use super::control::{Answer, Completed, Control, Kept, ObjectInfo, Page, PartDone};
use super::fault::Subject;
use super::verdict::Signed;
use super::{Contact, FRESH_MAX};
use crate::error::{ErrorKind, Result};
use crate::job::{Encryption, StoreOptions};
use crate::net::Patience;
use outcome::Outcome;

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

    fn options(&self) -> &StoreOptions {
        &self.outcome.contact().options
    }

    fn payer(&self) -> Option<RequestPayer> {
        self.options().request_payer.then_some(RequestPayer::Requester)
    }
}

fn client(contact: &Contact, bucket: &str, patience: &Patience) -> Client {
    let here = contact.endpoint.here();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(patience.connect)
        .read_timeout(patience.first_byte)
        .operation_attempt_timeout(patience.control)
        .build();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(here.region().to_owned()))
        .endpoint_url(here.url())
        .http_client(http_client(&contact.network, *patience))
        .force_path_style(!here.by_host(bucket))
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .interceptor(whole::Whole)
        .timeout_config(timeouts);
    let config = if contact.credentials.is_anonymous() {
        config.allow_no_auth()
    } else {
        // The snapshot is the one cache: this client's would hand out what a
        // store has refused.
        config
            .identity_cache(IdentityCache::no_cache())
            .credentials_provider(contact.credentials.clone())
    };
    Client::from_conf(config.build())
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
            let subject = Subject { bucket, key: prefix, permission: "s3:ListBucket" };
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
            let subject = Subject { bucket, key, permission: "s3:GetObject" };
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

    fn create<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        content_type: &'a str,
        rung: Rung,
    ) -> Answer<'a, String> {
        Box::pin(async move {
            let subject = Subject { bucket, key, permission: "s3:PutObject" };
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
            let subject = Subject { bucket, key, permission: "s3:PutObject" };
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
            let subject = Subject { bucket, key, permission: "s3:AbortMultipartUpload" };
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
            let subject = Subject { bucket, key: "", permission: "s3:ListBucket" };
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

/// The calls around a multipart upload name CRC64NVME in their heads, or they
/// name nothing.
fn in_head(crc: bool) -> Rung {
    if crc { Rung::Header } else { Rung::None }
}

fn encryption(options: &StoreOptions) -> (Option<ServerSideEncryption>, Option<String>) {
    match &options.encryption {
        None => (None, None),
        Some(Encryption::S3) => (Some(ServerSideEncryption::Aes256), None),
        Some(Encryption::Kms(key)) => (Some(ServerSideEncryption::AwsKms), key.clone()),
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
/// As [`super::get::encrypted`].
fn encrypted(answer: &HeadObjectOutput) -> bool {
    let by_service =
        answer.server_side_encryption().is_some_and(|how| how.as_str().starts_with("aws:kms"));
    by_service || answer.sse_customer_algorithm().is_some()
}

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::access::Addressing;
    use crate::s3::{CredentialsSnapshot, Endpoint};

    /// What is made of the answer to a HEAD of the bucket.
    fn region_of(status: &'static str, field: &'static str) -> Option<String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let (mut head, mut block) = (Vec::new(), [0; 1024]);
            while !head.ends_with(b"\r\n\r\n") {
                let count = peer.read(&mut block).unwrap();
                head.extend_from_slice(&block[..count]);
            }
            let answer = format!("HTTP/1.1 {status}\r\n{field}Content-Length: 0\r\n\r\n");
            peer.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(head).unwrap()
        });
        let endpoint = Endpoint::new(&url, "us-east-1", Addressing::Path).unwrap();
        let keys = CredentialsSnapshot::fixed("id", "s", None);
        let control =
            SdkControl::new(&Contact::new(endpoint.into(), keys), "bkt", Patience::DEFAULT);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let region = runtime.block_on(control.region());
        let head = server.join().unwrap();
        assert!(head.starts_with("HEAD /bkt"), "{head}");
        region
    }

    // HeadBucket's documented answers: the field is there with a refusal too.
    #[test]
    fn a_bucket_s_region_is_in_the_answer_whoever_asks() {
        let field = "x-amz-bucket-region: eu-north-1\r\n";
        for status in ["200 OK", "301 Moved Permanently", "403 Forbidden", "400 Bad Request"] {
            assert_eq!(region_of(status, field).as_deref(), Some("eu-north-1"), "{status}");
        }
        assert_eq!(region_of("404 Not Found", ""), None);
        assert_eq!(region_of("403 Forbidden", "x-amz-bucket-region: a.b/\r\n"), None);
    }
}
