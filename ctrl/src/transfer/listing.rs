//! A folder's entries as `tree -n -L 1` shows them, cut to what a person reads.

use std::fs;
use std::path::Path;

/// Lines before the summary.
const LINES_MAX: usize = 20;
/// Entries that are looked at; a folder of a million is not sorted for a log.
const ENTRIES_MAX: usize = 10_000;

/// The lines; empty when the folder cannot be read.
pub(super) fn lines(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<(String, bool)> = entries
        .flatten()
        .take(ENTRIES_MAX)
        .map(|entry| {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            (entry.file_name().to_string_lossy().into_owned(), is_folder)
        })
        .filter(|(name, _)| !name.starts_with('.'))
        .collect();
    names.sort();
    let mut lines = vec![folder.display().to_string()];
    for (index, (name, _)) in names.iter().enumerate().take(LINES_MAX - 1) {
        let branch = if index + 1 == names.len() { "└──" } else { "├──" };
        lines.push(format!("{branch} {name}"));
    }
    let folders = names.iter().filter(|(_, is_folder)| *is_folder).count();
    let more = if names.len() == ENTRIES_MAX { " or more" } else { "" };
    lines.push(format!(
        "{}, {}{more}",
        count(folders, "directory", "directories"),
        count(names.len() - folders, "file", "files")
    ));
    lines
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::lines;

    #[test]
    fn a_folder_is_shown_as_tree_shows_it() {
        let root = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(root.path().join("b")).unwrap();
        for name in ["a", "c", ".hidden"] {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        let shown = lines(root.path());
        assert_eq!(shown[1..], ["├── a", "├── b", "└── c", "1 directory, 2 files"]);
        for number in 0..100 {
            std::fs::write(root.path().join(format!("f{number}")), "").unwrap();
        }
        let shown = lines(root.path());
        assert_eq!(shown.len(), 21);
        assert_eq!(shown[20], "1 directory, 102 files");
    }
}
