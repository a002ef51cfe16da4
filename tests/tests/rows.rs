//! The engine's rows: a module imports strictly lower rows only, as the table
//! in `docs/ARCHITECTURE.md` has them. Within row 0 modules may see each other.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Module → row, in halves, so that "4½" is 9.
fn rows() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let table = text.split("| row | modules |").nth(1).unwrap();
    let mut rows = BTreeMap::new();
    for line in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let mut cells = line.split('|').skip(1);
        let number = cells.next().unwrap().trim();
        let row = 2 * number.trim_end_matches('½').parse::<u32>().unwrap()
            + u32::from(number.ends_with('½'));
        for name in cells.next().unwrap().split('`').skip(1).step_by(2) {
            rows.insert(name.trim_end_matches('/').to_owned(), row);
        }
    }
    rows
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names that follow `crate::` in lower case: modules.
fn imports(text: &str) -> Vec<&str> {
    text.split("crate::")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next())
        .filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect()
}

#[test]
fn modules_import_lower_rows_only() {
    let source = root().join("engine/src");
    let rows = rows();
    let mut files = Vec::new();
    sources(&source, &mut files);
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for file in &files {
        let below = file.strip_prefix(&source).unwrap();
        let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some(&own) = rows.get(module) else {
            wrong.push(format!("{module} has no row"));
            continue;
        };
        let text = fs::read_to_string(file).unwrap();
        for name in imports(&text).into_iter().filter(|name| *name != module) {
            checked += 1;
            let Some(&other) = rows.get(name) else {
                // Re-exports of the crate's root stand for their modules.
                continue;
            };
            if other >= own && own != 0 {
                wrong.push(format!("{}: row {own}/2 imports {name}, {other}/2", below.display()));
            }
            if own == 0 && other != 0 {
                wrong.push(format!("{}: row 0 imports {name}", below.display()));
            }
        }
    }
    assert!(checked > 100, "only {checked} imports were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
