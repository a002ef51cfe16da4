//! The body of a PUT: from the socket to a staged data file.
//!
//! Bytes are gathered into batches; a worker thread writes and digests one
//! batch while the next arrives, so a body holds two batches of memory at most.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::HeaderMap;
use s3s::TrailingHeaders;
use s3s::dto::StreamingBlob;
use tokio::task::JoinHandle;

use super::bucket::Bucket;
use super::digest::{Checksums, Declared};
use super::error::{StoreError, StoreResult};
use super::staging::{Staged, Staging};

/// Bytes handed to a worker thread at a time.
const BATCH_BYTES: usize = 1 << 20;

/// Receives a whole body and checks it against what was declared.
pub(super) async fn receive(
    bucket: &Arc<Bucket>,
    body: Option<StreamingBlob>,
    mut declared: Declared,
    trailers: Option<&TrailingHeaders>,
) -> StoreResult<Staged> {
    let mut writer = Writer::open(Arc::clone(bucket), declared.clone());
    if let Some(mut body) = body {
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| body_error(error.as_ref()))?;
            writer.push(chunk).await?;
        }
    }
    let staged = writer.finish().await?;
    if let Some(found) = trailers.and_then(TrailingHeaders::take) {
        add_trailers(&mut declared.checksums, &found);
    }
    staged.digests.check(&declared)?;
    Ok(staged)
}

/// Runs blocking store work on a worker thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> StoreResult<T> + Send + 'static,
) -> StoreResult<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Worker)?
}

struct Writer {
    batch: Vec<Bytes>,
    batch_bytes: usize,
    job: JoinHandle<StoreResult<Staging>>,
}

impl Writer {
    fn open(bucket: Arc<Bucket>, declared: Declared) -> Self {
        let job = tokio::task::spawn_blocking(move || bucket.stage(&declared));
        Self { batch: Vec::new(), batch_bytes: 0, job }
    }

    async fn push(&mut self, chunk: Bytes) -> StoreResult<()> {
        self.batch_bytes += chunk.len();
        self.batch.push(chunk);
        if self.batch_bytes >= BATCH_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> StoreResult<()> {
        let mut staging = (&mut self.job).await.map_err(|_| StoreError::Worker)??;
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.job = tokio::task::spawn_blocking(move || {
            for chunk in &batch {
                staging.write(chunk)?;
            }
            Ok(staging)
        });
        Ok(())
    }

    async fn finish(mut self) -> StoreResult<Staged> {
        if !self.batch.is_empty() {
            self.flush().await?;
        }
        Ok(self.job.await.map_err(|_| StoreError::Worker)??.finish())
    }
}

fn add_trailers(declared: &mut Checksums, found: &HeaderMap) {
    let value = |name: &str| found.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    declared.crc32 = value("x-amz-checksum-crc32").or(declared.crc32.take());
    declared.crc32c = value("x-amz-checksum-crc32c").or(declared.crc32c.take());
    declared.crc64nvme = value("x-amz-checksum-crc64nvme").or(declared.crc64nvme.take());
    declared.sha1 = value("x-amz-checksum-sha1").or(declared.sha1.take());
    declared.sha256 = value("x-amz-checksum-sha256").or(declared.sha256.take());
}

/// Algorithms that a request names without giving the value yet.
pub(super) fn announced(headers: &HeaderMap) -> Vec<String> {
    let names = ["x-amz-trailer", "x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm"];
    let values = names.iter().filter_map(|name| headers.get(*name)?.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().trim_start_matches("x-amz-checksum-").to_owned())
        .collect()
}

fn body_error(error: &(dyn std::error::Error + Send + Sync + 'static)) -> StoreError {
    let text = error.to_string();
    // The error types are private to the protocol crate; their text names them.
    match text {
        text if text.contains("Sha256Mismatch") => StoreError::PayloadHash,
        text if text.contains("SignatureMismatch") => StoreError::ChunkSignature,
        text => StoreError::IncompleteBody(text),
    }
}
