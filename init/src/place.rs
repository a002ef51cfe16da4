//! Folders, copies and links, each with the mode it must have.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context as _, Result};
use osmo_protocol::layout::MODE_PROGRAM;

/// Sets `path`'s mode, whatever the umask made of it.
pub(crate) fn mode(path: &Path, bits: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(bits))
        .with_context(|| format!("cannot set the mode of {} to {bits:04o}", path.display()))
}

/// A folder; parents that are missing are open to all, and no more.
pub(crate) fn folder(path: &Path, bits: u32) -> Result<()> {
    parents(path)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot create {}", path.display()))
        }
        _ => mode(path, bits),
    }
}

fn parents(path: &Path) -> Result<()> {
    let missing = |parent: &&Path| !parent.as_os_str().is_empty() && !parent.exists();
    path.parent().filter(missing).map_or(Ok(()), |parent| folder(parent, MODE_PROGRAM))
}

/// A copy of a file; the kernel shares the blocks where the volume can.
pub(crate) fn file(from: &Path, to: &Path, bits: u32) -> Result<()> {
    parents(to)?;
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    mode(to, bits)
}

/// A copy of a tree. Links stay links, files keep their modes.
pub(crate) fn tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", from.display()))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind =
            entry.file_type().with_context(|| format!("cannot examine {}", source.display()))?;
        if kind.is_dir() {
            tree(&source, &target)?;
        } else if kind.is_symlink() {
            let aim = fs::read_link(&source)
                .with_context(|| format!("cannot read the link {}", source.display()))?;
            link(&aim, &target)?;
        } else {
            fs::copy(&source, &target).with_context(|| {
                format!("cannot copy {} to {}", source.display(), target.display())
            })?;
        }
    }
    let bits = fs::metadata(from)
        .with_context(|| format!("cannot examine {}", from.display()))?
        .permissions();
    fs::set_permissions(to, bits)
        .with_context(|| format!("cannot set the mode of {}", to.display()))
}

/// A symbolic link at `path`, in place of what stands there.
pub(crate) fn link(aim: &Path, path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path).with_context(|| format!("cannot replace {}", path.display()))?;
    }
    symlink(aim, path)
        .with_context(|| format!("cannot link {} to {}", path.display(), aim.display()))
}
