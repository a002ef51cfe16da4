//! [`Sealed`] → [`Sent`]: one PUT, and a look at what the store made of it.

use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind, Result};
use crate::mem::{Buffer, Lease, Slice};
use crate::range::Range;
use crate::ring::Fd;
use crate::s3::{Put, PutDone, PutRequest};
use crate::site::Site;
use crate::upload::FileOrder;
use crate::upload::read::{changed, load, unchanged};
use crate::upload::seal::{Sealed, absorb};

/// A part that the store has, and what it says of it. Made by `send` only.
#[derive(Debug)]
pub struct Sent {
    /// The entity tag, quotes included.
    pub etag: Option<String>,
    /// Its bytes and checksum.
    pub range: Range,
    pub(super) digest: Digest,
    /// Whether the store named the same checksum.
    pub confirmed: bool,
}

/// One attempt. After a failure `sealed` still seals the same bytes, held or
/// to be read again.
///
/// # Errors
/// The store's, the disk's, `Changed` when the bytes are not those that were
/// sealed, `Corrupt` when the store says it has others.
pub(super) async fn send(
    site: &Site,
    fd: &Fd,
    order: &FileOrder,
    lease: &Lease,
    scratch: Buffer,
    request: &PutRequest,
    sealed: &mut Sealed,
) -> (Result<Sent>, Buffer) {
    let (put, scratch) = site.store.put(request, scratch).await;
    let mut put = match put {
        Ok(put) => put,
        Err(error) => return (Err(error), scratch),
    };
    let body = match sealed.held.take() {
        Some(slices) => {
            let (body, slices) = held(site, &mut put, slices).await;
            // An early answer was read into one of the buffers: another
            // attempt reads the file again.
            sealed.held = body.is_ok().then_some(slices);
            body
        }
        None => again(site, fd, order, lease, &mut put, sealed).await,
    };
    if let Err(error) = body {
        return (Err(error), scratch);
    }
    let (done, scratch) = put.finish(scratch).await;
    (done.and_then(|done| review(done, sealed)), scratch)
}

/// Each buffer comes back from the wire to its place, for another attempt;
/// after a failure their content is not to be relied on.
async fn held(site: &Site, put: &mut Put, slices: Vec<Slice>) -> (Result<()>, Vec<Slice>) {
    let mut kept = Vec::with_capacity(slices.len());
    let mut slices = slices.into_iter();
    let mut ended = Ok(());
    while ended.is_ok() {
        let Some(Slice { buffer, start, end }) = slices.next() else { break };
        site.paced((end - start) as u64).await;
        let (written, buffer) = put.write(Slice { buffer, start, end }).await;
        kept.push(Slice { buffer, start, end });
        ended = written;
    }
    kept.extend(slices);
    (ended, kept)
}

async fn again(
    site: &Site,
    fd: &Fd,
    order: &FileOrder,
    lease: &Lease,
    put: &mut Put,
    sealed: &Sealed,
) -> Result<()> {
    let range = sealed.range;
    let mut digest = Digest::new(sealed.digest.algorithm());
    while digest.bytes() < range.len() {
        let left = Range { start: range.start + digest.bytes(), end: range.end };
        let loaded = load(&site.ring, fd, order, lease, left).await?;
        absorb(&mut digest, &loaded);
        // Before the last bytes go, so that the store never completes a
        // request for a file that is half old, half new.
        if digest.bytes() == range.len() {
            if digest.value() != sealed.digest.value() {
                return Err(changed(order));
            }
            unchanged(fd, order)?;
        }
        for slice in loaded.slices {
            site.paced((slice.end - slice.start) as u64).await;
            put.write(slice).await.0?;
        }
    }
    Ok(())
}

fn review(done: PutDone, sealed: &Sealed) -> Result<Sent> {
    let algorithm = Algorithm::Crc64Nvme;
    let named = done.checksums.iter().find(|(name, _)| name == algorithm.name());
    let named = named.and_then(|(_, text)| algorithm.decode(text));
    if named.is_some_and(|value| value != sealed.digest.value()) {
        return Err(Error::new(
            ErrorKind::Corrupt,
            "the store acknowledged other bytes than were sent (CRC64NVME differs)",
        ));
    }
    Ok(Sent {
        etag: done.etag,
        range: sealed.range,
        digest: sealed.digest.clone(),
        confirmed: named.is_some(),
    })
}
