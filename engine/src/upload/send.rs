//! [`Sealed`] → [`Sent`]: one PUT, and a look at what the store made of it.

use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind, Result};
use crate::mem::{Buffer, Lease, Slice};
use crate::range::Range;
use crate::ring::Fd;
use crate::s3::{Proof, Put, PutRequest};
use crate::site::Site;
use crate::upload::FileOrder;
use crate::upload::read::{changed, load, unchanged};
use crate::upload::review;
use crate::upload::seal::{Sealed, Sums, absorb};

/// A part that the store has, and what it says of it. Made by `send` only.
#[derive(Debug)]
pub struct Sent {
    /// The entity tag, quotes included.
    pub etag: Option<String>,
    /// Its bytes and checksum.
    pub range: Range,
    pub(super) digest: Digest,
    /// The checksum that the store confirmed.
    pub confirmed: Option<&'static str>,
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
) -> (Result<Sent>, Option<Buffer>) {
    let mut put = match site.store.put(request, scratch).await {
        Ok(put) => put,
        Err((error, scratch)) => return (Err(error), Some(scratch)),
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
        return (Err(error), put.abandon());
    }
    let Some(sums) = sealed.sums.clone() else { return (Err(unread()), put.abandon()) };
    if request.proof == Proof::Trailer
        && let Err(error) = put.trail(&review::text(&sums.crc)).await
    {
        return (Err(error), put.abandon());
    }
    let (done, scratch) = put.finish().await;
    sealed.stored |= done.is_ok();
    let sent = done.and_then(|done| {
        let confirmed = review::put(&done, &sums, &request.proof)?;
        Ok(Sent { etag: done.etag, range: sealed.range, digest: sums.crc.clone(), confirmed })
    });
    (sent, scratch)
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

/// Reads the part, for the first time or again, and sends it.
async fn again(
    site: &Site,
    fd: &Fd,
    order: &FileOrder,
    lease: &Lease,
    put: &mut Put,
    sealed: &mut Sealed,
) -> Result<()> {
    let range = sealed.range;
    let mut digest = Digest::new(Algorithm::Crc64Nvme);
    while digest.bytes() < range.len() {
        let left = Range { start: range.start + digest.bytes(), end: range.end };
        let loaded = load(&site.ring, fd, order, lease, left).await?;
        absorb(&mut digest, &loaded);
        // Before the last bytes go, so that the store never completes a
        // request for a file that is half old, half new.
        if digest.bytes() == range.len() {
            let known = sealed.sums.get_or_insert_with(|| Sums { crc: digest.clone(), md5: None });
            if digest.value() != known.crc.value() {
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

fn unread() -> Error {
    Error::new(ErrorKind::Internal, "a part was sent without being read")
}
