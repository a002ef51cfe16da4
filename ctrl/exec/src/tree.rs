//! What the agent does to the tree around the command.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

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
/// What cannot be changed is left; the upload will name it.
pub(crate) fn make_readable(folder: &Path) {
    walk(folder, 0);
}

fn walk(path: &Path, depth: u32) {
    let Ok(meta) = path.symlink_metadata() else { return };
    let wanted = if meta.is_dir() {
        0o555
    } else if meta.is_file() {
        0o444
    } else {
        return;
    };
    let mode = meta.permissions().mode();
    if mode & wanted != wanted {
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode | wanted));
    }
    if !meta.is_dir() || depth == DEPTH_MAX {
        return;
    }
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        walk(&entry.path(), depth + 1);
    }
}
