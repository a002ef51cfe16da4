//! Operations on buckets.

use std::time::{Duration, SystemTime};

use s3s::S3Response;
use s3s::dto::*;

use super::ObjectService;
use crate::store::error::StoreResult;
use crate::store::receive::blocking;

impl ObjectService {
    pub(super) async fn create(
        &self,
        input: CreateBucketInput,
    ) -> StoreResult<S3Response<CreateBucketOutput>> {
        let (store, name) = (self.store.clone(), input.bucket);
        let location = format!("/{name}");
        blocking(move || store.create_bucket(&name)).await?;
        Ok(S3Response::new(CreateBucketOutput { location: Some(location) }))
    }

    pub(super) async fn remove(
        &self,
        name: BucketName,
    ) -> StoreResult<S3Response<DeleteBucketOutput>> {
        let store = self.store.clone();
        blocking(move || store.delete_bucket(&name)).await?;
        Ok(S3Response::new(DeleteBucketOutput::default()))
    }

    pub(super) fn all_buckets(&self) -> ListBucketsOutput {
        let buckets = self.store.buckets().into_iter().map(|bucket| Bucket {
            name: Some(bucket.name().to_owned()),
            creation_date: Some(Timestamp::from(
                SystemTime::UNIX_EPOCH + Duration::from_millis(bucket.created_ms()),
            )),
            bucket_region: None,
        });
        ListBucketsOutput { buckets: Some(buckets.collect()), ..Default::default() }
    }
}
