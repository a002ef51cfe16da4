//! [`Verified`] → [`Written`]: to its offset in the partial file, all buffers
//! in one vectored write.

use crate::disk::fault;
use crate::download::verify::Verified;
use crate::error::Result;
use crate::ring::{Fd, Ring};

/// Bytes that are in the partial file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// How many.
    pub bytes: u64,
}

/// Writes to `file`, which `name` stands for in errors.
///
/// # Errors
/// `DiskFull`, or the disk's own failure.
pub async fn write(ring: &Ring, file: &Fd, name: &str, verified: Verified) -> Result<Written> {
    let (offset, bytes, slices) = verified.into_parts();
    let (written, _) = ring.write_at(file, slices, offset).await;
    written.map_err(|error| fault("write", name, error))?;
    Ok(Written { bytes })
}
