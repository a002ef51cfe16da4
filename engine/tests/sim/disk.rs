//! The destination through a crash: what a killed process leaves, and what a
//! power loss leaves of that.
//!
//! A killed process leaves everything as it is, while the engine that dies here
//! still runs its drops. So every file is held by a second link at the moment
//! of death, and put back afterwards, inode and all.
//!
//! A power loss leaves what the last commit made durable, and of each later
//! change something or nothing, in any order: names, lengths, and contents by
//! sectors. A file that was renamed is under one of its names, never both.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Chance, as the world deals it.
pub(crate) type Below<'a> = &'a dyn Fn(usize) -> usize;

/// Bytes that a disk writes at once: old sectors, and today's.
const SECTORS: [usize; 2] = [512, 4096];

/// What a disk tends to lose.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Contents, of some files wholly.
    NamesFirst,
    /// Whatever.
    Any,
}

#[derive(Clone)]
struct Held {
    path: PathBuf,
    bytes: Vec<u8>,
    modified: SystemTime,
}

/// A tree at some moment, by inode.
#[derive(Clone, Default)]
pub(crate) struct Image {
    files: BTreeMap<u64, Held>,
    folders: BTreeSet<PathBuf>,
}

impl Image {
    pub(crate) fn of(root: &Path) -> io::Result<Self> {
        let mut image = Self::default();
        walk(root, root, &mut |path, metadata| {
            if metadata.is_dir() {
                image.folders.insert(path.to_owned());
                return Ok(());
            }
            let (bytes, modified) = (fs::read(root.join(path))?, metadata.modified()?);
            image.files.insert(metadata.ino(), Held { path: path.to_owned(), bytes, modified });
            Ok(())
        })?;
        Ok(image)
    }
}

fn walk(
    root: &Path,
    folder: &Path,
    see: &mut dyn FnMut(&Path, &fs::Metadata) -> io::Result<()>,
) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, metadata) = (entry.path(), entry.metadata()?);
        see(path.strip_prefix(root).unwrap_or(&path), &metadata)?;
        if metadata.is_dir() {
            walk(root, &path, see)?;
        }
    }
    Ok(())
}

/// Every file outside of hidden folders: path below `root`, and content.
pub(crate) fn visible(root: &Path) -> io::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut visible = BTreeMap::new();
    walk(root, root, &mut |path, metadata| {
        if metadata.is_file() && !path.starts_with(".osmo-partial") {
            visible.insert(path.to_owned(), fs::read(root.join(path))?);
        }
        Ok(())
    })?;
    Ok(visible)
}

/// A tree that was held at the moment of death.
pub(crate) struct Death {
    root: PathBuf,
    aside: PathBuf,
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Death {
    pub(crate) fn hold(root: &Path, aside: &Path) -> io::Result<Self> {
        fs::create_dir(aside)?;
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        walk(root, root, &mut |path, metadata| {
            if metadata.is_dir() {
                folders.push(path.to_owned());
                return Ok(());
            }
            fs::hard_link(root.join(path), aside.join(files.len().to_string()))?;
            files.push(path.to_owned());
            Ok(())
        })?;
        Ok(Self { root: root.to_owned(), aside: aside.to_owned(), files, folders })
    }

    /// Puts everything back.
    pub(crate) fn leave(self) -> io::Result<()> {
        clear(&self.root)?;
        for folder in &self.folders {
            fs::create_dir(self.root.join(folder))?;
        }
        for (number, path) in self.files.iter().enumerate() {
            fs::rename(self.aside.join(number.to_string()), self.root.join(path))?;
        }
        fs::remove_dir(&self.aside)
    }
}

fn clear(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}

/// Cuts the power: what is below `root` becomes what a disk might hold whose
/// last commit saw `durable`. `renamed` has the older names of inodes.
pub(crate) fn lose_power(
    root: &Path,
    durable: &Image,
    renamed: &BTreeMap<u64, PathBuf>,
    below: Below<'_>,
) -> io::Result<()> {
    let now = Image::of(root)?;
    let sector = SECTORS[below(2)];
    // Many disks know all names and lengths, and contents as they came to them.
    let style = if below(2) == 0 { Style::NamesFirst } else { Style::Any };
    // Names first: each inode where it was, where it is, or nowhere.
    let mut taken = BTreeSet::new();
    let mut left: Vec<(PathBuf, PathBuf, Held)> = Vec::new();
    for (inode, held) in &now.files {
        let old = durable.files.get(inode);
        let names: Vec<Option<&Path>> = match (old, renamed.get(inode)) {
            (Some(old), _) => vec![Some(&old.path), Some(&held.path)],
            (None, Some(from)) => vec![None, Some(from), Some(&held.path)],
            (None, None) => vec![None, Some(&held.path)],
        };
        let name = match style {
            Style::NamesFirst => names[names.len() - 1],
            Style::Any => names[below(names.len())],
        };
        let Some(name) = name.filter(|name| taken.insert((*name).to_owned())) else {
            fs::remove_file(root.join(&held.path))?;
            continue;
        };
        let content = mixed(old, held, (sector, style), below);
        left.push((held.path.clone(), name.to_owned(), content));
    }
    // Out of the way of each other, then in place.
    for (number, (at, ..)) in left.iter().enumerate() {
        fs::rename(root.join(at), root.join(format!(".moving-{number}")))?;
    }
    for folder in now.folders.iter().rev() {
        if !durable.folders.contains(folder) && below(2) == 0 {
            // One that is needed comes back below; one that has others stays.
            let _ = fs::remove_dir(root.join(folder));
        }
    }
    for (number, (_, name, content)) in left.iter().enumerate() {
        place(root, name)?;
        fs::rename(root.join(format!(".moving-{number}")), root.join(name))?;
        write(&root.join(name), content)?;
    }
    for (inode, old) in &durable.files {
        let is_replaced = now.files.values().any(|held| held.path == old.path);
        let is_gone = !now.files.contains_key(inode);
        if is_gone && !taken.contains(&old.path) && (is_replaced || below(2) == 0) {
            place(root, &old.path)?;
            write(&root.join(&old.path), old)?;
        }
    }
    Ok(())
}

fn place(root: &Path, name: &Path) -> io::Result<()> {
    fs::create_dir_all(root.join(name.parent().unwrap_or(Path::new(""))))
}

/// Some sectors as they are now, the others as they were, or zero.
fn mixed(
    old: Option<&Held>,
    now: &Held,
    (sector, style): (usize, Style),
    below: Below<'_>,
) -> Held {
    let nothing = Held { bytes: Vec::new(), ..now.clone() };
    let old = old.unwrap_or(&nothing);
    let is_now = style == Style::NamesFirst || below(4) > 0;
    let meta = if is_now { now } else { old };
    let mut bytes = old.bytes.clone();
    bytes.resize(now.bytes.len().max(old.bytes.len()), 0);
    // Everything, nothing, or about as much as chance has it.
    let share = match style {
        Style::NamesFirst => [0, 4][below(2)],
        Style::Any => [0, 1, 2, 4][below(4)],
    };
    for (at, new) in now.bytes.chunks(sector).enumerate() {
        let place = at * sector..at * sector + new.len();
        if bytes[place.clone()] != *new && below(4) < share {
            bytes[place].copy_from_slice(new);
        }
    }
    bytes.resize(meta.bytes.len(), 0);
    Held { path: now.path.clone(), bytes, modified: meta.modified }
}

fn write(path: &Path, content: &Held) -> io::Result<()> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    file.set_len(content.bytes.len() as u64)?;
    file.write_all_at(&content.bytes, 0)?;
    file.set_modified(content.modified)
}

/// Where the trees of a run lie: in memory, where the machine has it.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = tempfile::Builder::new().prefix("osmo-sim-").tempdir_in(memory);
    made.or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}
