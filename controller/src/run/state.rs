//! The runner's state folder: the embedded store's objects and the count of
//! each workflow name, which outlive a run.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

/// An existing state folder.
#[derive(Clone, Debug)]
pub(super) struct State {
    root: PathBuf,
}

impl State {
    /// Opens (and creates) `root`, or the default:
    /// `$XDG_STATE_HOME/osmo`, else `~/.local/state/osmo`.
    ///
    /// # Errors
    /// No default can be told, or the folder cannot be made.
    pub(super) fn open(root: Option<&Path>) -> Result<Self> {
        let root = match root {
            Some(root) => root.to_owned(),
            None => default_root().context(
                "neither XDG_STATE_HOME nor HOME says where to keep state: name a folder with --state",
            )?,
        };
        fs::create_dir_all(&root).with_context(|| {
            format!("cannot create the state folder {}: name another with --state", root.display())
        })?;
        Ok(Self { root: root.canonicalize()? })
    }

    /// The folder itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the embedded store keeps its objects; the store locks it.
    pub(super) fn store_root(&self) -> PathBuf {
        self.root.join("store")
    }

    /// The next workflow id for `name`: `<name>-<n>`, n counting from 1.
    ///
    /// # Errors
    /// The counter cannot be read or written.
    pub(super) fn next_workflow_id(&self, name: &str) -> Result<String> {
        let folder = self.root.join("count");
        fs::create_dir_all(&folder)?;
        let mut file = open_rw(&folder.join(name))?;
        flock(&file, FlockOperation::LockExclusive)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let n = match text.trim() {
            "" => 1,
            count => {
                count
                    .parse::<u64>()
                    .with_context(|| format!("the counter {} is no number", name))?
                    + 1
            }
        };
        file.rewind()?;
        file.set_len(0)?;
        writeln!(file, "{n}")?;
        Ok(format!("{name}-{n}"))
    }
}

fn default_root() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    set("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".local/state")))
        .map(|base| base.join("osmo"))
}

fn open_rw(path: &Path) -> Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(Some(folder.path())).unwrap();
        assert_eq!(state.next_workflow_id("a").unwrap(), "a-1");
        assert_eq!(state.next_workflow_id("a").unwrap(), "a-2");
        assert_eq!(state.next_workflow_id("b").unwrap(), "b-1");
    }
}
