//! What the agent does to the tree around the command.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat};

/// Folders deeper than this are left as they are.
const DEPTH_MAX: u32 = 64;

/// Makes `<root>/input` and `<root>/output` lead to `<root>/data/…`, where the
/// image lets it; the command does not depend on them.
pub(crate) fn shortcuts(output_folder: &Path) {
    let Some(data) = output_folder.parent().filter(|data| data.ends_with("data")) else { return };
    let Some(root) = data.parent() else { return };
    for name in ["input", "output"] {
        let _ = symlink(Path::new("data").join(name), root.join(name));
    }
}

/// Makes every output readable for the sidecar, which may run as another user.
/// What cannot be changed is left; the upload will name it. A link is never
/// followed, nor a name that becomes one meanwhile.
pub(crate) fn make_readable(folder: &Path) {
    if let Ok(name) = CString::new(folder.as_os_str().as_bytes()) {
        let _ = walk(CWD, &name, 0);
    }
}

fn walk(folder: BorrowedFd<'_>, name: &CStr, depth: u32) -> io::Result<()> {
    let here = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let entry = openat(folder, name, here, Mode::empty())?;
    let stat = fstat(&entry)?;
    let wanted = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => 0o555,
        FileType::RegularFile => 0o444,
        _ => return Ok(()),
    };
    if stat.st_mode & wanted != wanted {
        let itself = format!("/proc/self/fd/{}", entry.as_raw_fd());
        let mode = (stat.st_mode | wanted) & 0o7777;
        let _ = fs::set_permissions(itself, fs::Permissions::from_mode(mode));
    }
    if wanted == 0o444 || depth == DEPTH_MAX {
        return Ok(());
    }
    let list = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for inner in Dir::new(openat(&entry, c".", list, Mode::empty())?)?.flatten() {
        if ![c".", c".."].contains(&inner.file_name()) {
            let _ = walk(entry.as_fd(), inner.file_name(), depth + 1);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;

    use super::{DEPTH_MAX, make_readable};

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    fn close(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_inside_opens_and_nothing_behind_links() {
        let root = tempfile::TempDir::new().unwrap();
        let (inside, outside) = (root.path().join("in"), root.path().join("out"));
        for folder in [&inside, &outside] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("file"), "").unwrap();
            close(&folder.join("file"), 0o4200);
        }
        symlink(&outside, inside.join("way")).unwrap();
        symlink(outside.join("file"), inside.join("link")).unwrap();
        close(&inside, 0o300);
        make_readable(&inside);
        assert_eq!((mode(&inside), mode(&inside.join("file"))), (0o755, 0o4644));
        assert_eq!(mode(&outside.join("file")), 0o4200);
        close(&outside, 0o700);
        make_readable(&inside.join("way"));
        assert_eq!((mode(&outside), mode(&outside.join("file"))), (0o700, 0o4200));
    }

    #[test]
    fn the_depth_is_bounded() {
        let root = tempfile::TempDir::new().unwrap();
        let mut path = root.path().to_owned();
        let mut paths = vec![path.clone()];
        for _ in 0..=DEPTH_MAX {
            path.push("d");
            fs::create_dir(&path).unwrap();
            paths.push(path.clone());
        }
        paths.iter().for_each(|path| close(path, 0o700));
        make_readable(root.path());
        let modes: Vec<_> = paths.iter().map(|path| mode(path)).collect();
        let (last, others) = modes.split_last().unwrap();
        assert!(others.iter().all(|&mode| mode == 0o755) && *last == 0o700, "{modes:?}");
    }
}
