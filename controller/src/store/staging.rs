//! A body on its way in: a data file that nothing refers to yet.
//!
//! It becomes part of an object only by a journal record; dropped before that,
//! it is unlinked.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::digest::{Declared, Digester, Digests};
use super::error::{At as _, StoreResult};
use super::object::{DataFile, Segment};

/// An open data file that takes digests as it grows.
pub(super) struct Staging {
    number: u64,
    file: File,
    // Doomed until published, so that dropping a staging leaves nothing.
    data: Arc<DataFile>,
    digester: Digester,
}

impl Staging {
    pub(super) fn create(number: u64, path: PathBuf, declared: &Declared) -> StoreResult<Self> {
        let file = create_with_folder(&path).at("create a data file", &path)?;
        let data = DataFile::new(path);
        data.doom();
        Ok(Self { number, file, data, digester: Digester::new(declared) })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> StoreResult<()> {
        self.digester.update(bytes);
        self.file.write_all(bytes).at("write a data file", self.data.path())
    }

    pub(super) fn finish(self) -> Staged {
        let digests = self.digester.finish();
        Staged { number: self.number, data: self.data, digests }
    }
}

/// A whole body, digested, not yet visible.
pub(super) struct Staged {
    number: u64,
    data: Arc<DataFile>,
    pub(super) digests: Digests,
}

impl Staged {
    pub(super) fn segment(&self) -> Segment {
        Segment { file: self.number, bytes: self.digests.bytes }
    }

    /// The data file, which now stays: call this once the journal names it.
    pub(super) fn keep(self) -> Arc<DataFile> {
        self.data.keep();
        self.data
    }
}

fn create_with_folder(path: &std::path::Path) -> std::io::Result<File> {
    let create = || File::options().write(true).create_new(true).open(path);
    match create() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            create()
        }
        result => result,
    }
}
