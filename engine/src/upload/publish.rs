//! All parts sent → a visible object, or nothing at all.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::desk::{Desk, cancelled, may_be_done};
use crate::digest::Algorithm;
use crate::error::{Error, ErrorKind, Result};
use crate::upload::{FileOrder, PartsDone, PartsOrder, content_type};

/// Uploads one file in parts: begins the upload, hands the parts to a shard
/// through `order`, and completes what it acknowledged; an upload that does
/// not get there is given up, so that the store keeps no half of it.
///
/// # Errors
/// The store's, or the shard's.
pub async fn in_parts(
    desk: &Desk,
    file: FileOrder,
    order: impl AsyncFnOnce(PartsOrder) -> Result<()>,
) -> Result<Option<Algorithm>> {
    desk.tally().worth_it()?;
    let key = Arc::clone(&file.key);
    let bytes = file.stamp.bytes;
    let upload: Arc<str> = desk.create(&key, content_type(&key)).await?.into();
    let (reply, answer) = oneshot::channel();
    let sent = match order(PartsOrder { file, upload: Arc::clone(&upload), reply }).await {
        Ok(()) => answer.await.unwrap_or_else(|_| Err(lost())),
        Err(error) => Err(error),
    };
    let ended = match sent {
        Ok(done) => complete(desk, &key, &upload, bytes, &done).await.map(|()| done.confirmed),
        Err(error) => Err(error),
    };
    match ended {
        Ok(confirmed) => Ok(confirmed.then_some(Algorithm::Crc64Nvme)),
        Err(error) => {
            desk.abort(&key, &upload).await;
            Err(error)
        }
    }
}

/// A shard answers for every order, also for those it stops.
fn lost() -> Error {
    Error::new(ErrorKind::Internal, "the shard thread that sent the parts broke down")
}

async fn complete(
    desk: &Desk,
    key: &str,
    upload: &str,
    bytes: u64,
    done: &PartsDone,
) -> Result<()> {
    if desk.tally().cancelled() {
        return Err(cancelled());
    }
    let error = match desk.complete(key, upload, &done.parts, &done.crc64nvme).await {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    // An answer that was lost on its way, each time or once: the upload is gone
    // because it was completed, and the object is there.
    let gone = error.kind() == ErrorKind::NotFound;
    if (gone || may_be_done(&error))
        && let Ok(Some(info)) = desk.head(key).await
        && info.bytes == bytes
        && info.checksums.iter().any(|(_, value)| *value == done.crc64nvme)
    {
        // It may have been there before, and the upload still be.
        if !gone {
            desk.abort(key, upload).await;
        }
        return Ok(());
    }
    Err(error)
}
