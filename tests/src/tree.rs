//! Trees of files and their digests, as coreutils see them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// `sha256sum` of every regular file below `root`, sorted by path: equal trees
/// have equal listings. Includes empty files; folders count only by content, and
/// those of unfinished files not at all.
///
/// # Errors
/// `find`, `sort` or `sha256sum` failed.
pub fn sha256sums(root: &Path) -> Result<String> {
    let output = Command::new("sh")
        .arg("-c")
        .arg("find . -name .osmo-partial -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum")
        .current_dir(root)
        .output()
        .context("run find | sort | sha256sum")?;
    ensure!(output.status.success(), "sha256sum: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// What a download has left in `dest` that neither its user sees nor the next run
/// goes on with: names in the folder of unfinished files that belong to no
/// journal, and halves of what belongs together there.
///
/// # Errors
/// The folder cannot be read.
pub fn leftovers(dest: &Path) -> Result<Vec<String>> {
    let folder = dest.join(".osmo-partial");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    let is_kept = |name: &&String| {
        let Some(rest) = name.strip_prefix("j-") else { return false };
        match (rest.strip_suffix(".p"), rest.split_once('-')) {
            (Some(bytes), _) => names.contains(&format!("j-{bytes}")),
            (None, Some(_)) => names.contains(&format!("{name}.p")),
            (None, None) => true,
        }
    };
    Ok(names.iter().filter(|name| !is_kept(name)).cloned().collect())
}

/// Panics where there are [`leftovers`].
///
/// # Panics
/// As said, with their names.
pub fn assert_no_leftovers(dest: &Path) {
    let left = leftovers(dest);
    assert!(left.as_ref().is_ok_and(Vec::is_empty), "{left:?} in {}", dest.display());
}

/// Writes `bytes` incompressible bytes that depend on `seed` alone: AES-CTR
/// would do, `openssl` may be absent, so Python's generator makes them.
///
/// # Errors
/// Python is missing or the disk is full.
pub fn random_file(path: &Path, bytes: u64, seed: u64) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    const SCRIPT: &str = "
import random, sys
path, size, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
source = random.Random(seed)
with open(path, 'wb') as out:
    while size:
        n = min(size, 1 << 20)
        out.write(source.randbytes(n))
        size -= n
";
    let status = Command::new("python3")
        .args(["-c", SCRIPT])
        .arg(path)
        .args([bytes.to_string(), seed.to_string()])
        .status()
        .context("run python3")?;
    ensure!(status.success(), "python3 could not write {}", path.display());
    Ok(())
}
