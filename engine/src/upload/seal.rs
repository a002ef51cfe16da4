//! [`Loaded`] → [`Sealed`]: the checksum that goes ahead of the bytes.

use crate::digest::{Algorithm, Digest};
use crate::error::Result;
use crate::mem::{Lease, Slice};
use crate::range::Range;
use crate::ring::{Fd, Ring};
use crate::upload::FileOrder;
use crate::upload::read::{Loaded, load};

/// A part whose checksum is known. Made by `seal` only.
#[derive(Debug)]
pub struct Sealed {
    pub(super) range: Range,
    pub(super) digest: Digest,
    /// The bytes, when they all fit the buffers; else they are read again.
    pub(super) held: Option<Vec<Slice>>,
}

/// Reads `range` and seals it.
///
/// # Errors
/// As [`load`].
pub(super) async fn seal(
    ring: &Ring,
    fd: &Fd,
    order: &FileOrder,
    lease: &Lease,
    range: Range,
) -> Result<Sealed> {
    let mut digest = Digest::new(Algorithm::Crc64Nvme);
    loop {
        let left = Range { start: range.start + digest.bytes(), end: range.end };
        let loaded = load(ring, fd, order, lease, left).await?;
        absorb(&mut digest, &loaded);
        if digest.bytes() == range.len() {
            let held = (loaded.bytes == range.len()).then_some(loaded.slices);
            return Ok(Sealed { range, digest, held });
        }
    }
}

/// Adds what was loaded to a digest.
pub(super) fn absorb(digest: &mut Digest, loaded: &Loaded) {
    for slice in &loaded.slices {
        digest.update(&slice.buffer[slice.start..slice.end]);
    }
}
