//! Objects to download, as the store pages them, and how each is cut.

use std::sync::Arc;

use crate::desk::Desk;
use crate::digest::Expected;
use crate::download::{PART_BYTES, table};
use crate::error::{Error, ErrorKind, Result};
use crate::job::OnChange;
use crate::object::Object;
use crate::part::Cut;
use crate::path::{self, Filter};
use crate::s3::ObjectInfo;

/// The parts of an object of which nothing more is known.
pub fn cut(bytes: u64) -> Cut {
    Cut::new(bytes, part_bytes(), u32::MAX)
}

fn part_bytes() -> u64 {
    #[cfg(feature = "sim")]
    if let Some(world) = crate::sim::world() {
        return world.part_bytes();
    }
    PART_BYTES
}

/// The parts of an object whose bytes are expected to be these: what is made of
/// parts is digested by the same parts.
pub fn cut_towards(bytes: u64, expected: Expected) -> Cut {
    match expected {
        Expected::Whole(..) => Cut::new(bytes, bytes, 1),
        Expected::OfParts { part_bytes, .. } => Cut::new(bytes, part_bytes, u32::MAX),
        Expected::Crc(_) | Expected::Nothing(_) => cut(bytes),
    }
}

/// Hands every object below `prefix` that `filter` keeps to `order`, which
/// waits until there is room; one page of names is in memory at a time.
/// Refused keys are counted as failures of their own. `remote` is the prefix
/// as the caller wrote it, for sentences.
///
/// # Errors
/// `NotFound` when there is no key at all, and the store's own.
pub async fn plan(
    desk: &Desk,
    remote: &str,
    prefix: &str,
    filter: &Filter,
    mut order: impl AsyncFnMut(Object) -> Result<()>,
) -> Result<()> {
    // The prefix may name one object; a filter speaks of what lies below it.
    if let Some(info) = desk.at(prefix).await? {
        return match object(desk, &info, path::base_name(prefix)) {
            Some(object) => order(object).await,
            None => Ok(()),
        };
    }
    let below = path::listing_prefix(prefix);
    let mut pages = desk.pages(&below, None);
    let mut keys: u64 = 0;
    while let Some(page) = pages.page().await? {
        for info in &page.objects {
            keys += 1;
            if path::is_folder_marker(&info.key) {
                continue;
            }
            let Some(relative) = path::relative(&info.key, &below) else {
                let sentence = format!("the store lists {}, which is not below {below}", info.key);
                return Err(Error::new(ErrorKind::Protocol, sentence));
            };
            if filter.keeps(relative)?
                && let Some(object) = object(desk, info, relative)
            {
                order(object).await?;
            }
        }
    }
    if keys == 0 {
        let sentence = format!(
            "there is no object at {remote} and none below it; check the bucket and the prefix"
        );
        return Err(Error::new(ErrorKind::NotFound, sentence));
    }
    Ok(())
}

fn object(desk: &Desk, info: &ObjectInfo, relative: &str) -> Option<Object> {
    desk.tally().plan(info.bytes);
    match path::local(relative) {
        Ok(path) => Some(Object {
            bucket: Arc::clone(desk.bucket()),
            key: info.key.as_str().into(),
            path: path.into(),
            bytes: info.bytes,
            etag: info.etag.as_deref().map(Into::into),
            checksums: info.checksums.clone(),
            encrypted: info.encrypted,
            parts: None,
        }),
        Err(error) => {
            desk.tally().failed(&info.key, &error);
            None
        }
    }
}

/// Learns the declared checksums of an object that comes in ranges: a range
/// comes without those of the whole.
///
/// # Errors
/// `Changed` when the object is another one by now, `Unsupported` when nothing
/// would keep its parts to one version, and the store's own.
pub async fn complete(desk: &Desk, mut object: Object, on_change: OnChange) -> Result<Object> {
    if cut(object.bytes).parts() == 1 {
        return Ok(object);
    }
    if object.checksums.is_empty() || object.etag.is_none() {
        object = looked_at(desk, object, on_change).await?;
    }
    table::learn(desk, &mut object).await?;
    Ok(object)
}

/// The object as a HEAD tells it.
async fn looked_at(desk: &Desk, mut object: Object, on_change: OnChange) -> Result<Object> {
    let info = desk.head(&object.key).await?;
    let any = on_change == OnChange::Restart;
    let same = info.as_ref().is_some_and(|info| {
        info.bytes == object.bytes
            && (object.etag.is_none() || info.etag.as_deref() == object.etag.as_deref())
    });
    let Some(info) = info.filter(|_| same || any) else {
        return Err(Error::new(
            ErrorKind::Changed,
            "the object changed after it was listed; run the transfer again",
        ));
    };
    if info.etag.is_none() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the store names no entity tag for the object, so its parts could be of two \
             versions; store it in a store that does, or in smaller objects",
        ));
    }
    desk.tally().replanned(object.bytes, info.bytes);
    object.bytes = info.bytes;
    object.etag = info.etag.map(Into::into);
    object.checksums = info.checksums;
    object.encrypted = info.encrypted;
    Ok(object)
}
