//! The token that the sidecar and the agent share (`osmo_protocol::layout`
//! says who may read it, and why that is enough).

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use osmo_protocol::layout;

use crate::place;

/// Writes a fresh token beside the socket's place.
pub(crate) fn write(socket_folder: &Path) -> Result<()> {
    let mut chance = [0u8; layout::HANDOFF_BYTES / 2];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut chance))
        .context("cannot read random bytes from /dev/urandom")?;
    let mut token = String::with_capacity(layout::HANDOFF_BYTES);
    for byte in chance {
        let _ = write!(token, "{byte:02x}");
    }
    let path = layout::handoff(socket_folder);
    std::fs::write(&path, token).with_context(|| format!("cannot write {}", path.display()))?;
    place::mode(&path, layout::MODE_READABLE)
}
