//! [`Loaded`] → [`Sealed`]: the checksum by which the store will know that it
//! has these bytes. Where it may follow them, a part that does not fit its
//! buffers is not read for it here, but digested on its way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind, Result};
use crate::mem::{Lease, Slice};
use crate::range::Range;
use crate::ring::Fd;
use crate::s3::{Proof, Rung};
use crate::site::{PART_BUFFERS, Site};
use crate::upload::FileOrder;
use crate::upload::read::{Loaded, changed, load};

/// A part that is ready to be sent. Made by `seal` only.
#[derive(Debug)]
pub struct Sealed {
    pub(super) range: Range,
    /// Known before the bytes go, or once they have gone by.
    pub(super) sums: Option<Sums>,
    /// The bytes, when they all fit the buffers; else they are read (again).
    pub(super) held: Option<Vec<Slice>>,
    /// The store has acknowledged the part once, so that what it has there is
    /// no longer somebody else's.
    pub(super) stored: bool,
}

/// What was computed over a part.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    pub(super) crc: Digest,
    /// Only where the store is to check it: it costs much more.
    pub(super) md5: Option<[u8; 16]>,
}

impl Sealed {
    /// What goes along, so that the store can check the part by `rung`.
    ///
    /// # Errors
    /// `Internal` when it was sealed for another one.
    pub(super) fn proof(&self, rung: Rung) -> Result<Proof> {
        let crc = |sums: &Sums| Algorithm::Crc64Nvme.encode(sums.crc.value());
        match (rung, &self.sums) {
            (Rung::None, _) => Ok(Proof::None),
            (Rung::Trailer, None) => Ok(Proof::Trailer),
            // Known already, so there is no reason to frame the bytes.
            (Rung::Trailer | Rung::Header, Some(sums)) => Ok(Proof::Header(crc(sums))),
            (Rung::ContentMd5, Some(Sums { md5: Some(md5), .. })) => {
                Ok(Proof::ContentMd5(STANDARD.encode(md5)))
            }
            (Rung::Header | Rung::ContentMd5, _) => {
                Err(Error::new(ErrorKind::Internal, "a part is sent without its checksum"))
            }
        }
    }
}

/// Reads `range`, where its checksum must be known first, and seals it.
///
/// # Errors
/// As [`load`].
pub(super) async fn seal(
    site: &Site,
    fd: &Fd,
    order: &FileOrder,
    lease: &Lease,
    range: Range,
    rung: Rung,
) -> Result<Sealed> {
    let fits = range.len() <= (PART_BUFFERS * site.pool.buffer_bytes()) as u64;
    if !fits && matches!(rung, Rung::Trailer | Rung::None) {
        return Ok(Sealed { range, sums: None, held: None, stored: false });
    }
    let mut crc = Digest::new(Algorithm::Crc64Nvme);
    let mut md5 = (rung == Rung::ContentMd5).then(Md5::new);
    loop {
        let left = Range { start: range.start + crc.bytes(), end: range.end };
        let loaded = load(&site.ring, fd, order, lease, left).await?;
        absorb(&mut crc, &loaded);
        if let Some(md5) = &mut md5 {
            loaded
                .slices
                .iter()
                .for_each(|slice| md5.update(&slice.buffer[slice.start..slice.end]));
        }
        if crc.bytes() == range.len() {
            let held = (loaded.bytes == range.len()).then_some(loaded.slices);
            let md5 = md5.map(|md5| md5.finalize().into());
            return Ok(Sealed { range, sums: Some(Sums { crc, md5 }), held, stored: false });
        }
    }
}

/// The same part for another rung. What is known of its bytes stays true of
/// those that are sent.
///
/// # Errors
/// As [`seal`], and `Changed`.
pub(super) async fn reseal(
    site: &Site,
    fd: &Fd,
    order: &FileOrder,
    lease: &Lease,
    sealed: Sealed,
    rung: Rung,
) -> Result<Sealed> {
    if sealed.proof(rung).is_ok() {
        return Ok(sealed);
    }
    let Sealed { range, sums: before, held, stored } = sealed;
    // Back to the lease, to be read into.
    drop(held);
    let sealed = seal(site, fd, order, lease, range, rung).await?;
    match (&before, &sealed.sums) {
        (Some(before), Some(now)) if before.crc.value() != now.crc.value() => Err(changed(order)),
        _ => Ok(Sealed { stored, ..sealed }),
    }
}

/// Adds what was loaded to a digest.
pub(super) fn absorb(digest: &mut Digest, loaded: &Loaded) {
    for slice in &loaded.slices {
        digest.update(&slice.buffer[slice.start..slice.end]);
    }
}
