//! The folder below which `/proc` and `/sys` are read.

use std::path::{Path, PathBuf};

/// Bytes of a file that are read: the kernel's files are small, and a fixture
/// is no reason to read more.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Entries of a folder that are looked at.
const ENTRIES_MAX: usize = 4096;

/// The root of a node's files.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    folder: PathBuf,
    live: bool,
}

impl Root {
    /// `folder`, or this machine's own files.
    pub(crate) fn new(folder: Option<&Path>) -> Self {
        Self { folder: folder.unwrap_or(Path::new("/")).to_owned(), live: folder.is_none() }
    }

    /// Whether these are this machine's own files.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// The same below another folder, as a pod mounts its host: a recorded
    /// tree has files where `/proc` is mounted.
    pub(crate) fn is_this_machine(&self) -> bool {
        const PROC_SUPER_MAGIC: u64 = 0x9fa0;
        let kind = || rustix::fs::statfs(self.path("/proc")).ok().map(|stat| stat.f_type as u64);
        self.live || kind() == Some(PROC_SUPER_MAGIC)
    }

    /// A file of the process as which the node is looked at: this one, or the tree's
    /// first, as below a mount of the node's `/proc` `self` is still this one, with
    /// its pod's limits and mounts. (A recorded tree may know nobody but `self`.)
    pub(crate) fn process(&self, file: &str) -> String {
        let first = !self.live && self.exists("/proc/1");
        format!("/proc/{}/{file}", if first { "1" } else { "self" })
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_start_matches('/'))
    }

    /// A file's text without the white space around it.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        use std::io::Read as _;
        let file = std::fs::File::open(self.path(path)).ok()?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// A file that holds one number.
    pub(crate) fn number(&self, path: &str) -> Option<i64> {
        self.text(path)?.parse().ok()
    }

    /// The names in a folder, in order.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(path)) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.take(ENTRIES_MAX).collect();
        names.sort();
        names
    }

    /// The last part of a link's target: how sysfs names drivers.
    pub(crate) fn link_name(&self, path: &str) -> Option<String> {
        let target = std::fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }
}
