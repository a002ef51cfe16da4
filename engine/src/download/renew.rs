//! An object that changed, as it is now.

use std::sync::Arc;

use crate::error::Result;
use crate::flow::Retry;
use crate::object::Object;
use crate::s3::GetRequest;
use crate::site::{Site, buffer};

/// Asks for the object without naming a version. The answer's head tells size,
/// entity tag and checksums; its body is not read, so the connection is lost.
///
/// # Errors
/// The store's own; the object may be gone.
pub(super) async fn renew(site: &Site, object: &Object) -> Result<Object> {
    let lease = site.lease(1).await;
    let request = GetRequest {
        bucket: Arc::clone(&object.bucket),
        key: Arc::clone(&object.key),
        range: None,
        etag: None,
    };
    let mut retry = Retry::new(site.policy);
    loop {
        let error = match site.store.get(&request, buffer(&lease)?).await {
            Ok(body) => {
                let head = body.head();
                return Ok(Object {
                    bytes: head.object_bytes.unwrap_or(head.body_bytes),
                    etag: head.etag.as_deref().map(Into::into),
                    checksums: head.checksums.clone(),
                    encrypted: head.encrypted,
                    parts: None,
                    ..object.clone()
                });
            }
            Err((error, _)) => error,
        };
        site.again(&object.key, &mut retry, false, error).await?;
    }
}
