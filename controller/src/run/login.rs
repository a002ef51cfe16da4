//! Where a user's `osmo` finds the service of a run, while the run lives.
//!
//! ```text
//! <state>/service/login.yaml      of the newest run; its first line says whose
//! ```
//!
//! Several runs may share a state folder: the newest writes over the others,
//! and whoever ends removes the file only if it is still his own. A run that
//! was killed leaves a file behind that leads nowhere; the next one replaces it.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use osmo_protocol::login::{Login, TokenLogin, local};

/// The file of one run; gone with it.
pub(super) struct LoginFile {
    path: PathBuf,
    text: String,
}

impl LoginFile {
    /// Writes the file, readable by this user alone. `token` must live as long
    /// as the run.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn write(state: &Path, service: SocketAddr, token: String) -> Result<Self> {
        let path = local(state);
        let text = text(service, token);
        place(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, text })
    }
}

impl Drop for LoginFile {
    fn drop(&mut self) {
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            // Gone already: then it leads nobody astray.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// JSON is YAML, and quotes itself.
fn text(service: SocketAddr, token: String) -> String {
    let token_login = TokenLogin { id_token: token, ..TokenLogin::default() };
    let login = Login {
        url: format!("http://{service}"),
        token_login: Some(token_login),
        ..Login::default()
    };
    let body = serde_json::to_string(&login).unwrap_or_default();
    format!("# of the run with process id {}\n{body}\n", std::process::id())
}

/// Under a name of its own first, so that a reader never sees half a file.
fn place(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let fresh = folder.join(format!(".login.{}", std::process::id()));
    let _ = fs::remove_file(&fresh);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_newest_run_wins_and_each_removes_its_own() {
        let state = tempfile::tempdir().unwrap();
        let address = "127.0.0.1:4000".parse().unwrap();
        let first = LoginFile::write(state.path(), address, "one".to_owned()).unwrap();
        let path = state.path().join("service/login.yaml");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = LoginFile::write(state.path(), address, "two".to_owned()).unwrap();
        drop(first);
        let login: Login = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(login.url, "http://127.0.0.1:4000");
        assert_eq!(login.token_login.unwrap().id_token, "two");
        drop(second);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(state.path().join("service")).unwrap().count(), 0);
    }
}
