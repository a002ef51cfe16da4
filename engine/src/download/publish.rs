//! All parts written, and the proof → visible under the final name.

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::disk::{PartialFile, Tree, c_path, fault};
use crate::download::Landed;
use crate::download::verify::Proof;
use crate::error::{Error, ErrorKind, Result};
use crate::job::IfExists;
use crate::path::base_name;
use crate::ring::{Fd, Ring};

/// The folder that `path` lies in, relative to the destination.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Whether `folder` has anything under the last name of `path`; links count as
/// themselves.
///
/// # Errors
/// The disk's own.
pub(super) fn is_there(folder: &Fd, path: &str) -> Result<bool> {
    let name = c_path(base_name(path))?;
    match rustix::fs::statat(&**folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(fault("look for", path, errno.into())),
    }
}

/// The end of an object whose file is already there.
///
/// # Errors
/// `Exists` unless such files are skipped.
pub fn stays(if_exists: IfExists, path: &str) -> Result<Landed> {
    if if_exists == IfExists::Skip {
        return Ok(Landed::Skipped);
    }
    let sentence = format!(
        "{path} is already in the destination; remove it, or choose --if-exists skip or overwrite"
    );
    Err(Error::new(ErrorKind::Exists, sentence))
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
    if_exists: IfExists,
) -> Result<Landed> {
    let folder = tree.folder(parent(path)).await?;
    if if_exists != IfExists::Overwrite {
        return match file.rename_new(&folder, base_name(path))? {
            true => Ok(Landed::Published(proof.checked())),
            false => stays(if_exists, path),
        };
    }
    file.rename(ring, &folder, base_name(path)).await?;
    Ok(Landed::Published(proof.checked()))
}
