//! Whether what arrived is what was sent: `sha256sum` says so.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use osmo_tests::model_server::BUCKET;
use osmo_tests::tree;

use crate::measure::output;
use crate::peer::{Order, Peer};
use crate::server::Running;
use crate::workload::Source;

/// A downloaded tree: `None` if it is right, else what is wrong.
pub(crate) fn downloaded(source: &Source, target: &Path) -> Result<Option<String>> {
    Ok(difference(&source.sums, &tree::sha256sums(target)?))
}

/// An upload, read back by curl through the store's own unsigned door, and then
/// removed.
pub(crate) fn uploaded(peer: Peer, order: &Order<'_>, scratch: &Path) -> Result<Option<String>> {
    let door = order.server.readable().context("uploads to this server cannot be read back")?;
    let below = format!("{door}/{BUCKET}/{}", peer.prefix(order));
    let (list, folder) = (scratch.join("read-back.curl"), scratch.join("read-back"));
    fs::create_dir_all(&folder)?;
    let set = &order.source.set;
    let lines = (0..set.count).map(|index| {
        let path = set.path(index);
        format!("url=\"{below}/{path}\"\noutput=\"{path}\"\n")
    });
    fs::write(&list, lines.collect::<String>())?;
    let at = |path: &Path| path.to_string_lossy().into_owned();
    let base = ["-sSf", "--create-dirs", "-Z", "--parallel-max", "8", "--output-dir"];
    let fetched = output("curl", &[&base[..], &[&at(&folder), "-K", &at(&list)]].concat());
    let found = match fetched {
        Ok(_) => difference(&order.source.sums, &tree::sha256sums(&folder)?),
        Err(error) => Some(format!("not all of it can be read back: {error:#}")),
    };
    fs::remove_dir_all(&folder)?;
    forget(order.server, &below);
    Ok(found)
}

/// Uploads must not pile up; where that fails, only space is lost.
fn forget(server: &Running, below: &str) {
    let url = format!("{below}/?recursive=true&ignoreRecursiveError=true");
    let _ = output("curl", &["-sf", "-X", "DELETE", &url]);
    if let Some(vacuum) = server.vacuum() {
        let _ = output("curl", &["-sf", vacuum]);
    }
}

fn difference(expected: &str, found: &str) -> Option<String> {
    if expected == found {
        return None;
    }
    let (wanted, there) = (expected.lines().count(), found.lines().count());
    let first = expected.lines().find(|line| !found.lines().any(|other| other == *line));
    let first =
        first.and_then(|line| line.split_once("  ")).map_or("another file", |(_, path)| path);
    Some(format!("{there} files instead of {wanted}, or other bytes; first: {first}"))
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn a_difference_is_named() {
        assert_eq!(difference("aa  ./x\nbb  ./y\n", "aa  ./x\nbb  ./y\n"), None);
        let said = difference("aa  ./x\nbb  ./y\n", "aa  ./x\ncc  ./y\n").unwrap_or_default();
        assert!(said.ends_with("first: ./y"), "{said}");
        assert!(difference("", "aa  ./x\n").is_some());
    }
}
