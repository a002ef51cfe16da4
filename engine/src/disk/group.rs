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
    syncfs(folder).map_err(|error| {
        fault("make the files durable in", &name.display().to_string(), error.into())
    })
}

fn syncfs(folder: &OwnedFd) -> rustix::io::Result<()> {
    #[cfg(feature = "sim")]
    if let Some(world) = crate::sim::world() {
        return world.synced(folder);
    }
    rustix::fs::syncfs(folder)
}
