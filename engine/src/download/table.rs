//! Asks a store for the parts that an object's checksum is made of.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::desk::Desk;
use crate::digest::{Declared, Method, Parts, Value, composite};
use crate::error::{ErrorKind, Result};
use crate::object::{Object, Table};
use crate::s3::ListedPart;

/// Parts of an object at most, as S3 has it.
const PARTS_MAX: u32 = 10_000;

/// Parts in memory at once, of all jobs: some 5 MiB while they are asked for.
const PARTS_HELD_MAX: usize = 1 << 16;

static ROOM: Semaphore = Semaphore::const_new(PARTS_HELD_MAX);

/// Learns what the store declares of each part, where it declares nothing of the
/// whole. A store that does not tell is no failure: its object is then compared
/// as far as it can be without.
///
/// # Errors
/// `Cancelled`.
pub(super) async fn learn(desk: &Desk, object: &mut Object) -> Result<()> {
    if Declared::strongest(&object.checksums).is_some() {
        return Ok(());
    }
    let Some((method, value, count)) = composite(&object.checksums) else { return Ok(()) };
    if count > PARTS_MAX {
        return Ok(());
    }
    let Ok(room) = ROOM.acquire_many(count).await else { return Ok(()) };
    let Some(listed) = list(desk, object, method, count).await? else { return Ok(()) };
    match Parts::of(method, value, object.bytes, listed.iter().copied()) {
        Some(Parts::Table(table)) => object.parts = Some(Arc::new(Table { table, room })),
        Some(Parts::Whole(declared)) => object.checksums = vec![declared.named()],
        None => {}
    }
    Ok(())
}

/// Sizes and values of `count` parts, page by page.
async fn list(
    desk: &Desk,
    object: &Object,
    method: Method,
    count: u32,
) -> Result<Option<Vec<(u64, Value)>>> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut listed = Vec::with_capacity(count);
    let mut last = None;
    loop {
        let page = match desk.parts(&object.key, last).await {
            Ok(page) => page,
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            Err(_) => return Ok(None),
        };
        for part in page.parts {
            // In order, and each with its value, or there is nothing to go by.
            let next = part.number > last.unwrap_or(0) && listed.len() < count;
            let Some(value) = declared(&part, method).filter(|_| next) else { return Ok(None) };
            last = Some(part.number);
            listed.push((part.bytes, value));
        }
        match (page.next, last) {
            (Some(next), Some(last)) if next == last && listed.len() < count => {}
            (None, _) => return Ok(Some(listed)),
            _ => return Ok(None),
        }
    }
}

fn declared(part: &ListedPart, method: Method) -> Option<Value> {
    let (_, text) = part.checksums.iter().find(|(name, _)| name == method.name())?;
    method.decode(text)
}
