//! All parts sent → a visible object, or nothing at all.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::desk::{Desk, cancelled, may_be_done};
use crate::digest::Algorithm;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::s3::{Checks, Completed, ObjectInfo, Rung};
use crate::upload::{FileOrder, PartsDone, PartsOrder, content_type, review};

/// Uploads one file in parts: begins the upload, hands the parts to a shard
/// through `order`, and completes what it acknowledged; an upload that does
/// not get there is given up, so that the store keeps no half of it. One whose
/// checksums the store refuses begins anew with others. With `only_new`, an
/// object that is there stays. Answers the checksum that the store confirmed.
///
/// # Errors
/// The store's, or the shard's; `Exists` for an object that stays.
pub async fn in_parts(
    desk: &Desk,
    checks: &Checks,
    file: &FileOrder,
    only_new: bool,
    order: impl AsyncFn(PartsOrder) -> Result<()>,
) -> Result<Option<&'static str>> {
    desk.tally().worth_it()?;
    let mut rung = checks.rung();
    loop {
        let error = match attempt(desk, file, (rung, only_new), &order).await {
            Err(error) if error.class() == RetryClass::Checksum => error,
            ended => return ended,
        };
        if desk.tally().cancelled() {
            return Err(cancelled());
        }
        // What an upload is told of trailers and of headers is the same.
        rung = checks.below(rung.max(Rung::Header), error)?;
    }
}

async fn attempt(
    desk: &Desk,
    file: &FileOrder,
    (rung, only_new): (Rung, bool),
    order: &impl AsyncFn(PartsOrder) -> Result<()>,
) -> Result<Option<&'static str>> {
    let key = &file.key;
    let upload: Arc<str> = desk.create(key, content_type(key), rung).await?.into();
    let (reply, answer) = oneshot::channel();
    let parts = PartsOrder { file: file.clone(), upload: Arc::clone(&upload), rung, reply };
    let sent = match order(parts).await {
        Ok(()) => answer.await.unwrap_or_else(|_| Err(lost())),
        Err(error) => Err(error),
    };
    let ended = match sent {
        Ok(done) => complete(desk, file, &upload, &done, (rung, only_new)).await,
        Err(error) => Err(error),
    };
    if ended.is_err() {
        desk.abort(key, &upload).await;
    }
    ended
}

/// A shard answers for every order, also for those it stops.
fn lost() -> Error {
    Error::new(ErrorKind::Internal, "the shard thread that sent the parts broke down")
}

async fn complete(
    desk: &Desk,
    file: &FileOrder,
    upload: &str,
    done: &PartsDone,
    (rung, mut only_new): (Rung, bool),
) -> Result<Option<&'static str>> {
    if desk.tally().cancelled() {
        return Err(cancelled());
    }
    let whole = rung.is_crc().then_some(done.crc64nvme.as_str());
    let mut answer = desk.complete(&file.key, upload, &done.parts, whole, only_new).await;
    if only_new && answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unsupported) {
        // A store without conditions: it was asked for the object before.
        only_new = false;
        answer = desk.complete(&file.key, upload, &done.parts, whole, only_new).await;
    }
    if answer.as_ref().is_err_and(|error| error.class() == RetryClass::Checksum) {
        // Its parts were checked; only their sum cannot be.
        let bare: Vec<_> = done.parts.iter().cloned().map(|part| part.bare()).collect();
        answer = desk.complete(&file.key, upload, &bare, None, only_new).await;
    }
    let error = match answer {
        Ok(completed) => return look(desk, file, done, &completed).await,
        Err(error) => error,
    };
    // An answer that was lost on its way, each time or once: the upload is gone
    // because it was completed, and the object is there. What was there already
    // may be that object, too.
    let gone = error.kind() == ErrorKind::NotFound;
    if (gone || error.kind() == ErrorKind::Exists || may_be_done(&error))
        && let Ok(Some(info)) = desk.head(&file.key).await
        && is_ours(&info, file, done)
    {
        // It may have been there before, and the upload still be.
        if !gone {
            desk.abort(&file.key, upload).await;
        }
        return Ok(done.confirmed);
    }
    Err(error)
}

/// What became of the parts: the store's checksum over all of them, or at
/// least their size.
async fn look(
    desk: &Desk,
    file: &FileOrder,
    done: &PartsDone,
    completed: &Completed,
) -> Result<Option<&'static str>> {
    if let Some(same) = completed.crc64nvme.as_deref().and_then(|text| agrees(text, done)) {
        return if same { Ok(Some(Algorithm::Crc64Nvme.name())) } else { Err(other(file)) };
    }
    let info = match desk.head(&file.key).await {
        Ok(Some(info)) => info,
        Ok(None) => {
            let sentence = format!(
                "the store acknowledged {} and does not have it: upload {} again",
                file.key, file.name
            );
            return Err(Error::new(ErrorKind::Protocol, sentence));
        }
        // Whoever may write need not be allowed to read.
        Err(_) => return Ok(done.confirmed),
    };
    // Somebody else's object is there by now: it says nothing about ours.
    if matches!((&completed.etag, &info.etag), (Some(ours), Some(there)) if ours != there) {
        return Ok(done.confirmed);
    }
    match checksum(&info, done) {
        Some(false) => Err(other(file)),
        _ if info.bytes != file.stamp.bytes => Err(other(file)),
        Some(true) => Ok(Some(Algorithm::Crc64Nvme.name())),
        None => Ok(done.confirmed),
    }
}

fn other(file: &FileOrder) -> Error {
    let sentence = format!(
        "the store put the parts of {} together to something else than {}: upload it again",
        file.key, file.name
    );
    Error::new(ErrorKind::Corrupt, sentence)
}

/// Whether a CRC64NVME is that of the whole; `None` for what is none of a
/// whole.
fn agrees(text: &str, done: &PartsDone) -> Option<bool> {
    Algorithm::Crc64Nvme.decode(text).map(|_| text == done.crc64nvme)
}

fn checksum(info: &ObjectInfo, done: &PartsDone) -> Option<bool> {
    let named = info.checksums.iter().find(|(name, _)| name == Algorithm::Crc64Nvme.name());
    named.and_then(|(_, text)| agrees(text, done))
}

/// Whether an object is the one that the parts made.
fn is_ours(info: &ObjectInfo, file: &FileOrder, done: &PartsDone) -> bool {
    let etag = || {
        let there = info.etag.as_deref().map(|etag| etag.trim_matches('"').to_ascii_lowercase());
        there.is_some() && there == review::etag_of_parts(&done.parts)
    };
    info.bytes == file.stamp.bytes && checksum(info, done).unwrap_or_else(etag)
}
