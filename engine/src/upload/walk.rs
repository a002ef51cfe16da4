//! Sources → files. Runs on a thread of its own, because reading folders
//! blocks.

use std::fs::{Metadata, ReadDir};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::disk::fault;
use crate::error::{Error, ErrorKind, Result};
use crate::job::LocalFile;
use crate::path::{Filter, PARTIAL_FOLDER, Source, base_name};

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Size in bytes.
    pub bytes: u64,
    modified_ns: (i64, i64),
    changed_ns: (i64, i64),
    inode: (u64, u64),
}

impl Stamp {
    /// The state that `metadata` shows.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            modified_ns: (metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: (metadata.ctime(), metadata.ctime_nsec()),
            inode: (metadata.dev(), metadata.ino()),
        }
    }

    /// This state of `path`, for those outside.
    pub fn at<'a>(&self, path: &'a Path) -> LocalFile<'a> {
        LocalFile {
            path,
            bytes: self.bytes,
            modified: self.modified_ns,
            changed: self.changed_ns,
            inode: self.inode,
        }
    }
}

/// A file to upload, or one that cannot be.
#[derive(Debug)]
pub enum Found {
    /// A regular file, or a link to one.
    File {
        /// Where it is.
        path: PathBuf,
        /// What follows the prefix in its key.
        below: String,
        /// Its state.
        stamp: Stamp,
    },
    /// Something else; reported, and no obstacle to the rest.
    Failed {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        error: Error,
    },
}

/// Walks `source` and hands each file that `filter` keeps to `found`, which
/// says whether to go on. Links to folders are not followed, links to files
/// are.
///
/// # Errors
/// The source itself is missing, or the filter gave up.
pub fn walk(source: &Source, filter: &Filter, found: &mut dyn FnMut(Found) -> bool) -> Result<()> {
    let root = std::fs::canonicalize(&source.path).map_err(|error| missing(&source.path, error))?;
    let metadata = std::fs::metadata(&root).map_err(|error| missing(&source.path, error))?;
    // The base name is that of the real path: a link is known by its target.
    let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !metadata.is_dir() {
        if !source.keeps_name {
            let sentence = format!("{}/* needs a folder, and that is a file", source.path);
            return Err(Error::new(ErrorKind::Usage, sentence));
        }
        let mut walk = Walk { filter, found };
        walk.file(&root, name)?;
        return Ok(());
    }
    let base = if source.keeps_name { name } else { String::new() };
    Walk { filter, found }.folder(root, &base)
}

fn missing(path: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::new(
            ErrorKind::NotFound,
            format!("there is no file or folder {path}; check the path"),
        ),
        _ => fault("read", path, error),
    }
}

struct Walk<'a> {
    filter: &'a Filter,
    found: &'a mut dyn FnMut(Found) -> bool,
}

/// An open folder; as deep a stack as the path is long.
struct Level {
    entries: ReadDir,
    path: PathBuf,
    below: String,
}

impl Walk<'_> {
    fn folder(&mut self, path: PathBuf, below: &str) -> Result<()> {
        let mut levels = Vec::new();
        match self.open(path, below.to_owned()) {
            Ok(level) => levels.push(level),
            Err(go_on) => return go_on.then_some(()).ok_or_else(stopped),
        }
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.entries.next() else {
                levels.pop();
                continue;
            };
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = level.path.clone();
                    levels.pop();
                    self.fail(path, |shown| fault("read the folder", shown, error))?;
                    continue;
                }
            };
            let path = entry.path();
            let Ok(name) = entry.file_name().into_string() else {
                self.fail(path, |shown| {
                    let sentence = format!("the name of {shown} is not UTF-8; rename it");
                    Error::new(ErrorKind::KeyRefused, sentence)
                })?;
                continue;
            };
            let below = join(&level.below, &name);
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if name == PARTIAL_FOLDER {
                    continue;
                }
                match self.open(path, below) {
                    Ok(level) => levels.push(level),
                    Err(true) => {}
                    Err(false) => return Err(stopped()),
                }
            } else {
                self.file(&path, below)?;
            }
        }
        Ok(())
    }

    /// An open folder, or whether to go on without it.
    fn open(&mut self, path: PathBuf, below: String) -> Result<Level, bool> {
        match std::fs::read_dir(&path) {
            Ok(entries) => Ok(Level { entries, path, below }),
            Err(error) => {
                Err(self.fail(path, |shown| fault("read the folder", shown, error)).is_ok())
            }
        }
    }

    fn file(&mut self, path: &Path, below: String) -> Result<()> {
        if !self.filter.keeps(&below)? {
            return Ok(());
        }
        match std::fs::metadata(path) {
            // A link to a folder; its content is elsewhere.
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(metadata) if metadata.is_file() => {
                let stamp = Stamp::of(&metadata);
                self.tell(Found::File { path: path.to_owned(), below, stamp })
            }
            Ok(_) => self.fail(path.to_owned(), |shown| {
                let sentence = format!("{shown} is no regular file; remove it or filter it out");
                Error::new(ErrorKind::Local, sentence)
            }),
            Err(error) => self.fail(path.to_owned(), |shown| fault("read", shown, error)),
        }
    }

    fn fail(&mut self, path: PathBuf, error: impl FnOnce(&str) -> Error) -> Result<()> {
        let error = error(base_name(&path.display().to_string()));
        self.tell(Found::Failed { path, error })
    }

    fn tell(&mut self, found: Found) -> Result<()> {
        if (self.found)(found) { Ok(()) } else { Err(stopped()) }
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "nobody waits for more files")
}

fn join(below: &str, name: &str) -> String {
    if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") }
}
