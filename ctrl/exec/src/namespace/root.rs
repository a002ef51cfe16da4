//! The new root: a memory file system that everything else is bound into.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, getegid, geteuid, pivot_root};

use super::Bind;

const NONE: Option<&str> = None;
/// Folders that every machine has, to stand the new root on for a moment.
const STANDS: [&str; 4] = ["/tmp", "/run", "/mnt", "/var"];
const TMPFS: &str = "size=64m,mode=0755";

/// The old root, once the memory file system is the root.
const OLD: &str = "/old";
/// The root to be.
const NEW: &str = "/new";

/// Enters a name space in which each bind's target shows its source.
pub(super) fn enter(binds: &[Bind]) -> Result<(), String> {
    let binds = resolve(binds)?;
    let folder = seen(&std::env::current_dir().unwrap_or_else(|_| "/".into()), &binds);
    unshare_mounts()?;
    stand()?;
    let mut wanted = Node::default();
    for bind in outermost(&binds) {
        wanted.insert(&bind.target);
    }
    rebuild(Path::new(OLD), Path::new(NEW), &wanted)?;
    for bind in &binds {
        show(bind)?;
    }
    leave()?;
    chdir(&folder).or_else(|_| chdir("/")).map_err(|error| format!("cannot enter /: {error}"))
}

/// Where `folder` is once the binds are there.
fn seen(folder: &Path, binds: &[Bind]) -> PathBuf {
    let below = |bind: &Bind| Some(bind.target.join(folder.strip_prefix(&bind.source).ok()?));
    binds.iter().find_map(below).unwrap_or_else(|| folder.to_owned())
}

/// Makes paths real, sorted so that an outer target comes before an inner one.
fn resolve(binds: &[Bind]) -> Result<Vec<Bind>, String> {
    let mut real = Vec::with_capacity(binds.len());
    for bind in binds {
        let source = bind
            .source
            .canonicalize()
            .map_err(|error| format!("cannot find {}: {error}", bind.source.display()))?;
        real.push(Bind { source, target: real_target(&bind.target) });
    }
    real.sort_by_key(|bind| bind.target.components().count());
    Ok(real)
}

/// `path` with the links of its existing part followed.
fn real_target(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
            return real.join(rest);
        }
    }
    path.to_owned()
}

/// The binds that lie in no other one.
fn outermost(binds: &[Bind]) -> impl Iterator<Item = &Bind> {
    binds.iter().filter(|bind| {
        !binds
            .iter()
            .any(|other| other.target != bind.target && bind.target.starts_with(&other.target))
    })
}

/// A mount name space of its own; where that takes more rights than the caller
/// has, a user name space around it.
fn unshare_mounts() -> Result<(), String> {
    let (user, group) = (geteuid(), getegid());
    match unshare(CloneFlags::CLONE_NEWNS) {
        Ok(()) => Ok(()),
        Err(Errno::ENOSPC) => Err("the limit user.max_mnt_namespaces is reached".to_owned()),
        Err(Errno::EPERM) => {
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(|error| {
                format!("this machine lets no ordinary user create one ({error})")
            })?;
            write("/proc/self/setgroups", "deny")?;
            write("/proc/self/uid_map", &format!("{user} {user} 1"))?;
            write("/proc/self/gid_map", &format!("{group} {group} 1"))
        }
        Err(error) => Err(format!("cannot create a mount name space: {error}")),
    }?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .map_err(|error| format!("cannot make the mounts private: {error}"))
}

fn write(path: &str, text: &str) -> Result<(), String> {
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| format!("cannot write {path}: {error}"))
}

/// Makes a memory file system the root, with the old root at [`OLD`].
fn stand() -> Result<(), String> {
    let stand = STANDS
        .iter()
        .map(Path::new)
        .find(|path| path.is_dir() && !path.is_symlink())
        .ok_or("there is no folder /tmp to build the new root in")?;
    mount(Some("tmpfs"), stand, Some("tmpfs"), MsFlags::MS_NODEV | MsFlags::MS_NOSUID, Some(TMPFS))
        .map_err(|error| format!("cannot mount a memory file system: {error}"))?;
    let below = |name: &str| stand.join(name.trim_start_matches('/'));
    folder(&below(OLD))?;
    folder(&below(NEW))?;
    pivot_root(stand, &below(OLD)).map_err(|error| format!("cannot change the root: {error}"))?;
    chdir("/").map_err(|error| format!("cannot enter the new root: {error}"))?;
    // The final root must be a mount of its own to be pivoted to.
    bind(Path::new(NEW), Path::new(NEW))
}

/// Targets as a tree of names; a leaf is a target.
#[derive(Debug, Default)]
struct Node(BTreeMap<OsString, Node>);

impl Node {
    fn insert(&mut self, path: &Path) {
        let mut node = self;
        for part in path.components().skip(1) {
            node = node.0.entry(part.as_os_str().to_owned()).or_default();
        }
    }
}

/// Makes `new` look like `old`, but leaves the names in `wanted` open.
fn rebuild(old: &Path, new: &Path, wanted: &Node) -> Result<(), String> {
    let entries = match fs::read_dir(old) {
        Ok(entries) => entries,
        Err(error) => return Err(format!("cannot read {}: {error}", shown(old))),
    };
    for entry in entries.flatten() {
        if !wanted.0.contains_key(&entry.file_name()) {
            mirror(&entry.path(), &new.join(entry.file_name()))?;
        }
    }
    for (name, inner) in &wanted.0 {
        let (old, new) = (old.join(name), new.join(name));
        // A leaf, and what the old root lacks, is created when it is shown.
        if let (false, Ok(meta)) = (inner.0.is_empty(), old.metadata()) {
            folder(&new)?;
            let bits = meta.permissions().mode() & 0o777;
            let _ = fs::set_permissions(&new, fs::Permissions::from_mode(bits | 0o700));
            rebuild(&old, &new, inner)?;
        }
    }
    Ok(())
}

/// Shows one entry of the old root at its place in the new one.
fn mirror(old: &Path, new: &Path) -> Result<(), String> {
    let failed = |error| format!("cannot mirror {}: {error}", shown(old));
    let kind = match old.symlink_metadata() {
        Ok(meta) => meta.file_type(),
        Err(_) => return Ok(()),
    };
    if kind.is_symlink() {
        return fs::read_link(old).and_then(|aim| symlink(aim, new)).map_err(failed);
    }
    place(new, kind.is_dir())?;
    bind(old, new)
}

/// Shows a bind's source at its target.
fn show(wanted: &Bind) -> Result<(), String> {
    let below =
        |root: &str, path: &Path| Path::new(root).join(path.strip_prefix("/").unwrap_or(path));
    let (source, target) = (below(OLD, &wanted.source), below(NEW, &wanted.target));
    place(&target, source.is_dir())?;
    bind(&source, &target)
}

/// A mount point, with the folders above it.
fn place(path: &Path, is_folder: bool) -> Result<(), String> {
    if path.exists() {
        return Ok(());
    }
    if is_folder {
        return folder(path);
    }
    folder(path.parent().unwrap_or(Path::new("/")))?;
    fs::File::create(path)
        .map(|_| ())
        .map_err(|error| format!("cannot create {}: {error}", shown(path)))
}

fn folder(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|error| format!("cannot create {}: {error}", shown(path)))
}

fn bind(from: &Path, to: &Path) -> Result<(), String> {
    mount(Some(from), to, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
        .map_err(|error| format!("cannot bind {} at {}: {error}", shown(from), shown(to)))
}

/// Makes [`NEW`] the root and lets the old one go.
fn leave() -> Result<(), String> {
    let failed = |error| format!("cannot change the root: {error}");
    umount2(OLD, MntFlags::MNT_DETACH).map_err(failed)?;
    chdir(NEW).map_err(failed)?;
    pivot_root(".", ".").map_err(failed)?;
    umount2(".", MntFlags::MNT_DETACH).map_err(failed)?;
    chdir("/").map_err(failed)
}

/// A path as the user knows it.
fn shown(path: &Path) -> String {
    let path = path.display().to_string();
    match path.strip_prefix(OLD).or_else(|| path.strip_prefix(NEW)) {
        Some("") => "/".to_owned(),
        Some(rest) => rest.to_owned(),
        None => path,
    }
}
