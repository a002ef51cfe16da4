//! One task's tree, which a pod would see at `/osmo`: here a temporary folder.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// `sockaddr_un` holds 108 bytes, one of them the terminating zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The folders and files of one task.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Creates the mounts that exist before `osmo-init` runs: empty volumes and
    /// secret files.
    ///
    /// # Errors
    /// The folder exists, cannot be made, or its path is too long for a socket.
    pub fn create(root: PathBuf, secrets: &Secrets<'_>) -> Result<Self> {
        let tree = Self { root };
        let socket = tree.socket();
        ensure!(
            socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX,
            "the path {} is too long for a unix socket: name a shorter folder with --work or TMPDIR",
            socket.display()
        );
        fs::create_dir(&tree.root)
            .with_context(|| format!("cannot create {}", tree.root.display()))?;
        for volume in ["data", "login", "usr/bin", "run"] {
            fs::create_dir_all(tree.path(volume))?;
        }
        // A pod's user finds the data under the short names too.
        symlink("data/input", tree.path("input"))?;
        symlink("data/output", tree.path("output"))?;
        for (name, text) in [
            ("user_config.yaml", secrets.user_config),
            ("service_config.yaml", secrets.service_config),
            (".refresh_token", secrets.refresh_token),
        ] {
            write_secret(&tree.path(name), text)?;
        }
        Ok(tree)
    }

    /// What `osmo-init` finds as mounts in a pod and cannot find here: the user's
    /// credentials in the login folder, and the `osmo` command, which is this
    /// executable under another name. Call it after `osmo-init`.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn furnish(&self) -> Result<()> {
        let folder = self.path("login/user/config");
        fs::create_dir_all(&folder)?;
        fs::copy(self.path("user_config.yaml"), folder.join("config.yaml"))?;
        symlink("user/config", self.path("login/config"))?;
        symlink(std::env::current_exe()?, self.path("usr/bin/osmo"))?;
        Ok(())
    }

    /// Takes the tree away, so that a chain of tasks needs the room of one.
    ///
    /// # Errors
    /// The disk refuses, or the command left what this user may not remove.
    pub fn remove(self) -> std::io::Result<()> {
        fs::remove_dir_all(self.root)
    }

    /// A path below the tree.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The tree itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where sidecar and agent meet.
    pub fn socket(&self) -> PathBuf {
        self.path("data/socket/data.sock")
    }

    /// Where the sidecar tells its metrics and how it is: `-health`.
    pub fn health(&self) -> OsString {
        let mut place = OsString::from("unix:");
        place.push(self.path("health.sock"));
        place
    }

    /// Writes the content of a file that the user's command shall see
    /// elsewhere, and returns where it lies.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn place(&self, number: usize, contents: &[u8]) -> Result<PathBuf> {
        let folder = self.path("files");
        fs::create_dir_all(&folder)?;
        let path = folder.join(number.to_string());
        fs::write(&path, contents).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// Texts that a pod mounts from secrets.
#[derive(Clone, Copy, Debug)]
pub struct Secrets<'a> {
    /// Credentials for the user's buckets.
    pub user_config: &'a str,
    /// Credentials for the buckets of the service.
    pub service_config: &'a str,
    /// The task's refresh token.
    pub refresh_token: &'a str,
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
