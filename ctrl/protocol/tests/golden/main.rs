//! Every frame that this crate knows against a file of its bytes.
//!
//! `frames/README.md` tells where each file's text comes from. A new variant
//! without a file fails here: [`variants`] does not compile without it, and its
//! name is then looked for among the files. So does a file that nothing checks.
#![allow(clippy::unwrap_used)]

mod events;
mod logger;
mod router;
mod socket;
mod terminal;
mod token;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The bytes of a file.
fn golden(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The text of a file.
fn text(name: &str) -> String {
    String::from_utf8(golden(name)).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/frames")
}

/// The names of an enum's variants, and which one a value is.
macro_rules! variants {
    ($enum:ident: $($variant:ident)*) => {{
        fn name(value: &$enum) -> &'static str {
            match value {
                $($enum::$variant { .. } => stringify!($variant),)*
            }
        }
        let names = std::collections::BTreeSet::from([$(stringify!($variant)),*]);
        (names, name as fn(&$enum) -> &'static str)
    }};
}
pub(crate) use variants;

/// Fails unless `samples` has at least one value of each variant.
fn expect_every<T>(
    (names, name): (BTreeSet<&'static str>, fn(&T) -> &'static str),
    samples: impl IntoIterator<Item = T>,
) {
    let found: BTreeSet<_> = samples.into_iter().map(|sample| name(&sample)).collect();
    assert_eq!(found, names, "variants with a file, and all variants");
}

/// Paths below the folder, as the tables write them.
fn files() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for group in std::fs::read_dir(folder()).unwrap() {
        let group = group.unwrap();
        if !group.file_type().unwrap().is_dir() {
            continue;
        }
        for file in std::fs::read_dir(group.path()).unwrap() {
            let (group, file) = (group.file_name(), file.unwrap().file_name());
            found.insert(format!("{}/{}", group.to_str().unwrap(), file.to_str().unwrap()));
        }
    }
    found
}

#[test]
fn every_file_is_checked() {
    let checked: BTreeSet<String> = [
        socket::files(),
        events::files(),
        logger::files(),
        router::files(),
        terminal::files(),
        token::files(),
    ]
    .concat()
    .into_iter()
    .map(str::to_owned)
    .collect();
    assert_eq!(checked, files());
}

#[test]
fn every_file_has_its_source_told() {
    let told = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let rows = told.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let told: BTreeSet<String> = rows.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(told, files());
}
