//! Which files differ from those that are known to be uploaded, by size and
//! time of change.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Files remembered; a larger folder is uploaded whole at each round.
const FILES_MAX: usize = 100_000;
/// Folders deeper than this are uploaded whole.
const DEPTH_MAX: u32 = 64;
/// Changed files named one by one; more are uploaded with all the others.
const NAMED_MAX: usize = 500;
/// Bytes of all these names, well below what a command line may hold.
const NAMED_BYTES_MAX: usize = 64 << 10;

type Stamp = (u64, i64, i64, u64);

/// The files of the last round that succeeded.
#[derive(Debug, Default)]
pub(super) struct Seen(Option<HashMap<PathBuf, Stamp>>);

/// What a round has to upload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changes {
    /// Nothing.
    None,
    /// These, relative to the folder's parent.
    Some(Vec<String>),
    /// Everything: the first round, or too much to name.
    All,
}

impl Changes {
    /// Compares what is below `path` with `before`; returns what is there now.
    pub(super) fn below(path: &Path, before: &Seen) -> (io::Result<Self>, Seen) {
        let mut now = HashMap::new();
        match gather(path, &mut now, 0) {
            Err(error) => (Err(error), Seen(None)),
            Ok(false) => (Ok(Self::All), Seen(None)),
            Ok(true) => (Ok(compare(path, before, &now)), Seen(Some(now))),
        }
    }
}

fn compare(path: &Path, before: &Seen, now: &HashMap<PathBuf, Stamp>) -> Changes {
    let Some(before) = &before.0 else {
        return if now.is_empty() { Changes::None } else { Changes::All };
    };
    let changed = now.iter().filter(|(file, stamp)| before.get(*file) != Some(*stamp));
    let parent = path.parent().unwrap_or(path);
    let (mut names, mut bytes) = (Vec::new(), 0);
    for (file, _) in changed {
        let name = file.strip_prefix(parent).ok().and_then(Path::to_str);
        let Some(name) = name.filter(|_| file != path) else { return Changes::All };
        bytes += name.len();
        if names.len() == NAMED_MAX || bytes > NAMED_BYTES_MAX {
            return Changes::All;
        }
        names.push(name.to_owned());
    }
    names.sort_unstable();
    if names.is_empty() { Changes::None } else { Changes::Some(names) }
}

/// Fills `files`; `false` when the folder cannot be remembered whole. What
/// vanishes on the way was not there.
fn gather(path: &Path, files: &mut HashMap<PathBuf, Stamp>, depth: u32) -> io::Result<bool> {
    let meta = fs::metadata(path)?;
    if meta.is_file() {
        files.insert(path.to_owned(), stamp(&meta));
        return Ok(files.len() <= FILES_MAX);
    }
    if !meta.is_dir() {
        return Ok(true);
    }
    if depth == DEPTH_MAX || (depth > 0 && path.is_symlink()) {
        return Ok(false);
    }
    for entry in fs::read_dir(path)? {
        match entry.and_then(|entry| gather(&entry.path(), files, depth + 1)) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn stamp(meta: &Metadata) -> Stamp {
    (meta.size(), meta.mtime(), meta.mtime_nsec(), meta.ino())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::{Changes, NAMED_MAX, Seen};

    #[test]
    fn only_what_changed_is_named_and_too_much_is_all() {
        let root = tempfile::TempDir::new().unwrap();
        let folder = root.path().join("ck");
        fs::create_dir_all(folder.join("sub")).unwrap();
        let look = |before: &Seen| {
            let (changes, now) = Changes::below(&folder, before);
            (changes.unwrap(), now)
        };
        assert_eq!(look(&Seen::default()).0, Changes::None);
        fs::write(folder.join("a"), "1").unwrap();
        let (changes, seen) = look(&Seen::default());
        assert_eq!(changes, Changes::All);
        assert_eq!(look(&seen).0, Changes::None);
        fs::write(folder.join("a"), "22").unwrap();
        fs::write(folder.join("sub/b"), "3").unwrap();
        assert_eq!(look(&seen).0, Changes::Some(vec!["ck/a".into(), "ck/sub/b".into()]));
        for number in 0..=NAMED_MAX {
            fs::write(folder.join(number.to_string()), "").unwrap();
        }
        assert_eq!(look(&seen).0, Changes::All);
        assert!(Changes::below(&root.path().join("none"), &seen).0.is_err());
    }
}
