//! The order of the work.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};
use osmo_protocol::layout::{
    DATA_FOLDERS, LOST_FOUND, MODE_PROGRAM, MODE_READABLE, MODE_SHARED, WORKSPACE,
};

use crate::flags::Flags;
use crate::{handoff, place};

/// Where the client lies within its tree, and where `osmo` points.
const CLIENT: &str = "osmo_cli/osmo/osmo-cli/osmo-cli";

/// rsync's licence, and where its source is: whoever gets the one gets the others.
const RSYNC_WORDS: [&str; 2] = ["LICENSE.rsync", "NOTICE.rsync"];

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The tree is ready.
    Prepared,
    /// The data volume is in use; nothing was touched.
    AlreadyPrepared,
}

/// Prepares the volumes.
///
/// # Errors
/// The first step that failed, as a sentence; what was done stays.
pub fn prepare(flags: &Flags) -> Result<Outcome> {
    if in_use(&flags.data)? {
        return Ok(Outcome::AlreadyPrepared);
    }
    // The data folders come last: a run that fails half-way leaves the volume
    // empty, so that a restarted container does the work again.
    if flags.place_binaries {
        binaries(flags)?;
        client(flags)?;
    }
    login(flags)?;
    place::folder(&flags.run.join(WORKSPACE), MODE_SHARED)?;
    for name in DATA_FOLDERS {
        place::folder(&flags.data.join(name), MODE_SHARED)?;
    }
    handoff::write(&flags.data.join("socket"))?;
    Ok(Outcome::Prepared)
}

fn in_use(data: &Path) -> Result<bool> {
    let entries = match std::fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).context(format!("cannot read {}", data.display())),
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", data.display()))?;
        if entry.file_name() != LOST_FOUND {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The pod's own programs, regular files because they are mounted one by one.
fn binaries(flags: &Flags) -> Result<()> {
    for name in ["osmo_ctrl", "osmo_exec"] {
        let to = flags.binaries.join("osmo").join(name);
        place::file(&flags.image.join(name), &to, MODE_SHARED)?;
    }
    if flags.rsync {
        place::file(&flags.image.join("rsync"), &flags.user_bin.join("rsync"), MODE_PROGRAM)?;
        for name in RSYNC_WORDS {
            let from = flags.image.join(name);
            if from.exists() {
                place::file(&from, &flags.user_bin.join(name), MODE_READABLE)?;
            }
        }
    }
    Ok(())
}

/// The client, a tree or one program, reachable as `osmo`.
fn client(flags: &Flags) -> Result<()> {
    let (tree, program) = (flags.image.join("osmo_cli_onedir"), flags.image.join("osmo"));
    let folder = flags.user_bin.join("osmo_cli");
    if tree.is_dir() {
        place::tree(&tree, &folder)?;
    } else {
        place::file(&program, &flags.user_bin.join(CLIENT), MODE_PROGRAM)?;
    }
    place::mode(&folder, MODE_SHARED)?;
    place::link(Path::new(CLIENT), &flags.user_bin.join("osmo"))
}

/// Login and configuration, a copy for each container.
fn login(flags: &Flags) -> Result<()> {
    let (ctrl, user) = (flags.login.join("ctrl"), flags.login.join("user"));
    for container in [&ctrl, &user] {
        place::folder(container, MODE_SHARED)?;
        place::folder(&container.join("config"), MODE_SHARED)?;
    }
    for (name, to) in [
        ("login.yaml", ctrl.join("config/login.yaml")),
        ("login.yaml", user.join("config/login.yaml")),
        ("user_config.yaml", user.join("config/config.yaml")),
    ] {
        let from = flags.image.join(name);
        if flags.require_login || from.exists() {
            place::file(&from, &to, MODE_SHARED)?;
        }
    }
    Ok(())
}
