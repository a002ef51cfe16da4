//! `rsyncd.conf` where nobody else can put another in its place. rsync itself
//! follows the path name by name, so it cannot be a file without a name.

use std::ffi::OsStr;
use std::fs::{Metadata, OpenOptions, remove_dir_all};
use std::io::{Result, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::{geteuid, mkdtemp};

/// A configuration's file; dropped, it is gone.
#[derive(Debug)]
pub(super) struct Config {
    folder: PathBuf,
    path: PathBuf,
}

impl Config {
    /// Writes `text` below the first of `places` in which no other user can
    /// rename what is ours, or below the first that there is.
    ///
    /// # Errors
    /// A sentence, when there is none to write in.
    pub(super) fn write(places: &[&Path], text: &str) -> std::result::Result<Self, String> {
        let mut real: Vec<_> =
            places.iter().filter_map(|place| place.canonicalize().ok()).collect();
        real.sort_by_key(|place| !place.metadata().is_ok_and(|meta| is_private(&meta)));
        let mut last = "no folder for it exists".to_owned();
        for place in real {
            match Self::below(&place, text) {
                Ok(config) => return Ok(config),
                Err(error) => last = format!("{}: {error}", place.display()),
            }
        }
        Err(format!("cannot write rsyncd.conf: {last}"))
    }

    fn below(place: &Path, text: &str) -> Result<Self> {
        let folder = mkdtemp(&place.join("rsyncd.XXXXXX"))?;
        let path = folder.join("rsyncd.conf");
        let config = Self { folder, path };
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&config.path)?;
        file.write_all(text.as_bytes())?;
        Ok(config)
    }

    pub(super) fn path(&self) -> &OsStr {
        self.path.as_os_str()
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        let _ = remove_dir_all(&self.folder);
    }
}

/// Whether only its owner, who is root or this user, decides over entries that
/// are not others'.
fn is_private(meta: &Metadata) -> bool {
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let is_ours = meta.uid() == 0 || meta.uid() == geteuid().as_raw();
    is_ours && (meta.mode() & OTHERS_WRITE == 0 || meta.mode() & STICKY != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::Config;

    #[test]
    fn a_place_that_others_may_change_is_the_last_choice() {
        let (open, own) = (tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap());
        fs::set_permissions(open.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let config = Config::write(&[open.path(), own.path()], "text").unwrap();
        assert!(config.path.starts_with(own.path().canonicalize().unwrap()));
        assert_eq!(fs::read_to_string(&config.path).unwrap(), "text");
        let modes = [&config.folder, &config.path]
            .map(|path| path.metadata().unwrap().permissions().mode() & 0o777);
        assert_eq!(modes, [0o700, 0o600]);
        drop(config);
        assert_eq!(fs::read_dir(own.path()).unwrap().count(), 0);
        let none = own.path().join("none");
        assert!(Config::write(&[open.path(), &none], "").is_ok());
        assert!(Config::write(&[&none], "").is_err());
    }
}
