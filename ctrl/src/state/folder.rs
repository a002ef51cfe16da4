//! A folder that is ours alone, and files that are whole or not there.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{Error, Result, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

const MODE_FOLDER: u32 = 0o700;
const MODE_FILE: u32 = 0o600;

/// Makes `folder`, or takes the one that is there if it is ours and nobody
/// else's.
///
/// # Errors
/// It is a link, somebody else's, or open to others.
pub(super) fn own(folder: &Path) -> Result<()> {
    match DirBuilder::new().mode(MODE_FOLDER).create(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = std::fs::symlink_metadata(folder)?;
    if !found.is_dir() {
        return Err(Error::other("it is no folder; remove it, or name another with -statePath"));
    }
    if found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o077 != 0 {
        return Err(Error::other(
            "it belongs to others or is open to them; remove it, or name another with -statePath",
        ));
    }
    Ok(())
}

/// Replaces the file at `path` as a whole; a crash leaves the old or the new.
///
/// # Errors
/// The file's; what was there is untouched.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = path.with_extension("new");
    let mut options = OpenOptions::new();
    // The user's container reaches the folder: a link there leads nowhere.
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    options.write(true).create(true).truncate(true).mode(MODE_FILE).custom_flags(flags);
    let written = options.open(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_data()
    });
    if let Err(error) = written {
        let _ = std::fs::remove_file(&aside);
        return Err(error);
    }
    std::fs::rename(&aside, path)
}
