//! The S3 operations, one line each: what `s3s` has parsed goes to the module
//! that answers it.

mod answer;
mod buckets;
mod lists;
mod multipart;
mod reads;
mod writes;

use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result};

use super::body::BufferPool;
use super::bucket::Bucket;
use super::error::StoreResult;
use super::files::FileStore;

/// The store, as `s3s` calls it.
pub(super) struct ObjectService {
    store: Arc<FileStore>,
    buffers: Arc<BufferPool>,
}

impl ObjectService {
    pub(super) fn new(store: Arc<FileStore>) -> Self {
        Self { store, buffers: Arc::default() }
    }

    fn bucket(&self, name: &str) -> StoreResult<Arc<Bucket>> {
        self.store.bucket(name)
    }
}

type Answer<T> = S3Result<S3Response<T>>;

#[async_trait::async_trait]
impl S3 for ObjectService {
    async fn create_bucket(&self, r: S3Request<CreateBucketInput>) -> Answer<CreateBucketOutput> {
        Ok(self.create(r.input).await?)
    }

    async fn head_bucket(&self, r: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        Ok(self.bucket(&r.input.bucket).map(|_| S3Response::new(HeadBucketOutput::default()))?)
    }

    async fn get_bucket_location(
        &self,
        r: S3Request<GetBucketLocationInput>,
    ) -> Answer<GetBucketLocationOutput> {
        // An empty location constraint is how S3 spells us-east-1.
        Ok(self
            .bucket(&r.input.bucket)
            .map(|_| S3Response::new(GetBucketLocationOutput::default()))?)
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> Answer<ListBucketsOutput> {
        Ok(S3Response::new(self.all_buckets()))
    }

    async fn delete_bucket(&self, r: S3Request<DeleteBucketInput>) -> Answer<DeleteBucketOutput> {
        Ok(self.remove(r.input.bucket).await?)
    }

    async fn get_object(&self, r: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        Ok(S3Response::new(self.read(r.input)?))
    }

    async fn head_object(&self, r: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        Ok(S3Response::new(self.head(r.input)?))
    }

    async fn put_object(&self, r: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        Ok(S3Response::new(self.write(r).await?))
    }

    async fn copy_object(&self, r: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        Ok(S3Response::new(self.copy(r.input).await?))
    }

    async fn delete_object(&self, r: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        Ok(S3Response::new(self.delete(r.input).await?))
    }

    async fn delete_objects(
        &self,
        r: S3Request<DeleteObjectsInput>,
    ) -> Answer<DeleteObjectsOutput> {
        Ok(S3Response::new(self.delete_many(r.input).await?))
    }

    async fn list_objects(&self, r: S3Request<ListObjectsInput>) -> Answer<ListObjectsOutput> {
        Ok(S3Response::new(self.list_v1(r.input)?))
    }

    async fn list_objects_v2(
        &self,
        r: S3Request<ListObjectsV2Input>,
    ) -> Answer<ListObjectsV2Output> {
        Ok(S3Response::new(self.list_v2(r.input)?))
    }

    async fn create_multipart_upload(
        &self,
        r: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        Ok(S3Response::new(self.begin(r.input).await?))
    }

    async fn upload_part(&self, r: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        Ok(S3Response::new(self.part(r).await?))
    }

    async fn complete_multipart_upload(
        &self,
        r: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        Ok(S3Response::new(self.complete(r.input).await?))
    }

    async fn abort_multipart_upload(
        &self,
        r: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        Ok(S3Response::new(self.abort(r.input).await?))
    }

    async fn list_parts(&self, r: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        Ok(S3Response::new(self.parts(r.input)?))
    }

    async fn list_multipart_uploads(
        &self,
        r: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        Ok(S3Response::new(self.uploads(r.input)?))
    }
}
