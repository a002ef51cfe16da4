//! Paths of the tree and the modes that `osmo-init` gives them.
//!
//! ```text
//! /osmo
//! ├── data/            volume: benchmarks/ input/ output/ socket/
//! │   └── socket/      data.sock (the sidecar listens), handoff (a token)
//! ├── login/           volume: ctrl/config/ user/config/
//! ├── usr/bin/         volume: osmo, osmo_cli/, rsync
//! └── run/             volume: workspace/
//! /osmo_binaries/osmo/ volume: osmo_ctrl, osmo_exec
//! ```
//!
//! **The handoff token.** The socket is world-writable, since a user's image
//! runs as anyone; so the sidecar asks its main peer for a token that
//! `osmo-init` wrote beside the socket. The file is world-readable for the same
//! reason: what protects it is that only the pod's two containers mount the
//! folder, and that the agent deletes it once it is connected, before the
//! user's command exists.

use std::path::{Path, PathBuf};

/// Where the pod's tree begins.
pub const ROOT: &str = "/osmo";
/// The volume of data.
pub const DATA: &str = "/osmo/data";
/// The volume of login files.
pub const LOGIN: &str = "/osmo/login";
/// The volume of programs for the user.
pub const USER_BIN: &str = "/osmo/usr/bin";
/// The volume of run-time state.
pub const RUN: &str = "/osmo/run";
/// The volume from which the pod mounts its own programs.
pub const BINARIES: &str = "/osmo_binaries";
/// Folders below [`DATA`].
pub const DATA_FOLDERS: [&str; 4] = ["benchmarks", "input", "output", "socket"];
/// The folder below [`RUN`].
pub const WORKSPACE: &str = "workspace";
/// What a fresh volume may hold.
pub const LOST_FOUND: &str = "lost+found";

/// Shared folders and files: every container may run as another user.
pub const MODE_SHARED: u32 = 0o777;
/// Programs that nobody replaces.
pub const MODE_PROGRAM: u32 = 0o755;
/// Readable by every member of the pod.
pub const MODE_READABLE: u32 = 0o444;

/// The termination message's place.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

const HANDOFF: &str = "handoff";

/// Bytes of a handoff token's text: 128 bits in hexadecimal.
pub const HANDOFF_BYTES: usize = 32;

/// The token's file, below the folder that holds the socket.
pub fn handoff(socket_folder: &Path) -> PathBuf {
    socket_folder.join(HANDOFF)
}

/// The token's file beside `socket`.
pub fn handoff_beside(socket: &Path) -> PathBuf {
    socket.with_file_name(HANDOFF)
}
