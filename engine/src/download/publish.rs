//! All parts written, and the proof → visible under the final name.

use crate::disk::{PartialFile, Tree};
use crate::download::Landed;
use crate::download::verify::Proof;
use crate::error::Result;
use crate::path::base_name;
use crate::ring::Ring;

/// The folder that `path` lies in, relative to the destination.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Renames the partial file to `path` below the destination.
///
/// # Errors
/// `KeyRefused` where something else is in the way, or the disk's own failure.
pub async fn publish(
    ring: &Ring,
    tree: &Tree,
    file: PartialFile,
    path: &str,
    proof: &Proof,
) -> Result<Landed> {
    let folder = tree.folder(parent(path)).await?;
    file.rename(ring, &folder, base_name(path)).await?;
    Ok(Landed::Published(proof.algorithm()))
}
