//! The group commit.

use std::os::fd::OwnedFd;
use std::path::Path;

use crate::disk::fault;
use crate::error::Result;

/// Makes everything that was published into `folder`'s file system durable.
/// Blocks for as long as the disk takes.
///
/// # Errors
/// The disk reported a failed write; what was published may then be lost at
/// the next power loss.
pub fn commit(folder: &OwnedFd, name: &Path) -> Result<()> {
    rustix::fs::syncfs(folder).map_err(|error| {
        fault("make the files durable in", &name.display().to_string(), error.into())
    })
}
