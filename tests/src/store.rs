//! The embedded store as a test's endpoint.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use osmo_controller::run::access::StoreAccess;
use osmo_controller::run::endpoint::Endpoint;
use osmo_controller::store::FileStore;
use tempfile::TempDir;

/// A served store in a folder of its own; both go with it.
pub struct TestStore {
    endpoint: Endpoint,
    files: Arc<FileStore>,
    _folder: TempDir,
}

impl TestStore {
    /// An empty store with one bucket.
    ///
    /// # Errors
    /// No folder or no port.
    pub fn start(bucket: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let files = Arc::new(FileStore::open(folder.path())?);
        files.create_bucket(bucket)?;
        let endpoint = Endpoint::start(Arc::clone(&files))?;
        Ok(Self { endpoint, files, _folder: folder })
    }

    /// URL and key.
    pub fn access(&self) -> &StoreAccess {
        self.endpoint.access()
    }

    /// The objects, from inside.
    pub fn files(&self) -> &FileStore {
        &self.files
    }

    /// Puts bytes without any client.
    ///
    /// # Errors
    /// The key is not legal, or the disk is full.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) -> Result<()> {
        let mut writer = self.files.put(bucket, key)?;
        writer.write(bytes)?;
        writer.finish()?;
        Ok(())
    }

    /// Puts every file below `root` under `prefix` and its path.
    ///
    /// # Errors
    /// As [`TestStore::put`].
    pub fn put_tree(&self, bucket: &str, prefix: &str, root: &Path) -> Result<()> {
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.strip_prefix(root)?.to_str().context("a name that is no UTF-8")?;
                self.put_file(bucket, &format!("{prefix}{name}"), &path)?;
            }
        }
        Ok(())
    }

    /// Puts the bytes of the file at `path`.
    ///
    /// # Errors
    /// As [`TestStore::put`].
    pub fn put_file(&self, bucket: &str, key: &str, path: &Path) -> Result<()> {
        let mut writer = self.files.put(bucket, key)?;
        let mut file = std::fs::File::open(path)?;
        let mut block = vec![0; 1 << 20];
        loop {
            match file.read(&mut block)? {
                0 => break,
                n => writer.write(&block[..n])?,
            }
        }
        writer.finish()?;
        Ok(())
    }
}
