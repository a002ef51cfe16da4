//! Whether the object that is in the way of a file is the file's own: the answer
//! to an earlier attempt was lost, and that attempt had put it there.

use crate::digest::{Algorithm, Digest};
use crate::mem::{Buffer, Lease};
use crate::s3::GetRequest;
use crate::site::{Site, buffer};
use crate::upload::FileOrder;
use crate::upload::seal::Sealed;
use crate::upload::send::Sent;

/// The acknowledgement that was lost, if every byte that the store has is one of
/// the file's. It is read once: entity tags need not be checksums. Whoever may
/// not read it, or meets another fault, has to take it for somebody else's.
pub(super) async fn claim(
    site: &Site,
    order: &FileOrder,
    lease: &Lease,
    scratch: Buffer,
    sealed: &mut Sealed,
) -> Option<Sent> {
    let crc = sealed.sums.as_ref()?.crc.clone();
    // Back to the lease: there may be no other buffer to read into.
    drop(sealed.held.take());
    let (bucket, key) = (order.bucket.clone(), order.key.clone());
    let request = GetRequest { bucket, key, range: None, etag: None };
    let mut body = site.store.get(&request, scratch).await.ok()?;
    if body.head().body_bytes != order.stamp.bytes {
        return None;
    }
    let mut digest = Digest::new(Algorithm::Crc64Nvme);
    let mut place = buffer(lease).ok()?;
    while digest.bytes() < order.stamp.bytes {
        let room = place.len();
        let (read, back) = body.read(place, 0..room).await;
        place = back;
        let count = read.ok().filter(|count| *count > 0)?;
        digest.update(&place[..count]);
        site.paced(count as u64).await;
    }
    if digest.value() != crc.value() {
        return None;
    }
    let etag = body.head().etag.clone();
    drop(body.finish());
    let confirmed = Some(Algorithm::Crc64Nvme.name());
    Some(Sent { etag, range: sealed.range, digest: crc, confirmed })
}
