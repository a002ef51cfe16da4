//! What terminals find: completion of `osmo` in `~/.bashrc`, and a history.
//!
//! Neither is needed by the command, so a failure is a warning on the
//! container's own log. Where the completion's script, or the history's folder,
//! is not in this image, there is nothing to prepare.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::complain;
use crate::flags::Flags;

const HISTORY_MODE: u32 = 0o644;

pub(crate) fn prepare(flags: &Flags) {
    if flags.autocomplete.exists()
        && let Some(home) = std::env::var_os("HOME").filter(|home| !home.is_empty())
        && let Err(error) = source(&flags.autocomplete, &Path::new(&home).join(".bashrc"))
    {
        complain(&format!("no completion of osmo in terminals: ~/.bashrc: {error}"));
    }
    let open =
        OpenOptions::new().append(true).create(true).mode(HISTORY_MODE).open(&flags.history_file);
    match open {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let place = flags.history_file.display();
            complain(&format!("terminals keep no history: {place}: {error}"));
        }
        _ => {}
    }
}

/// Makes `bashrc` source `script`, once.
fn source(script: &Path, bashrc: &Path) -> std::io::Result<()> {
    let script = script.as_os_str().as_encoded_bytes();
    if bashrc.exists() && !bashrc.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    let begun = match fs::read(bashrc) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    if begun.windows(script.len().max(1)).any(|part| part == script) {
        return Ok(());
    }
    let line = [b"\nsource ", script, b" 2>/dev/null || true\n"].concat();
    OpenOptions::new().append(true).create(true).open(bashrc)?.write_all(&line)
}
