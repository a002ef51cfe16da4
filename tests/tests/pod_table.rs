//! The faults that `docs/OPERATIONS.md` lists and the tests are the same list.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Files whose every test has a row.
const WHOLE: [&str; 6] =
    ["pod_faults", "pod_life", "pod_service", "pod_sessions", "pod_disk", "pod_clock"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// (file, test) of each row.
fn rows() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap();
    let table = text.split("\n| fault | in | ends with | test |\n").nth(1).unwrap();
    let lines = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let named = lines.map(|line| {
        let cell = line.trim_end_matches('|').rsplit('|').next().unwrap();
        let mut words = cell.split('`').skip(1).step_by(2).map(str::to_owned);
        let pair = (words.next(), words.next(), words.next());
        let (Some(file), Some(test), None) = pair else { panic!("no one test in {line}") };
        (file, test)
    });
    named.collect()
}

/// The tests of a file, without those that nobody runs unasked.
fn tests(file: &str) -> BTreeSet<String> {
    let places = ["tests/tests", "ctrl/tests"].map(|folder| root().join(folder));
    let texts = places.map(|folder| fs::read_to_string(folder.join(format!("{file}.rs"))));
    let text = texts.into_iter().find_map(Result::ok);
    let text = text.unwrap_or_else(|| panic!("there is no {file}.rs"));
    let (mut found, mut is_test) = (BTreeSet::new(), false);
    for line in text.lines() {
        if line.starts_with("#[test") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if line.starts_with("#[ignore") {
            is_test = false;
        } else if let Some((_, rest)) = line.split_once("fn ")
            && std::mem::take(&mut is_test)
        {
            found.insert(rest.split('(').next().unwrap().to_owned());
        }
    }
    found
}

#[test]
fn every_row_is_a_test_that_runs() {
    let rows = rows();
    assert!(rows.len() > 30, "only {} rows were found", rows.len());
    let missing: Vec<_> = rows.iter().filter(|(file, test)| !tests(file).contains(test)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_test_of_a_fault_is_a_row() {
    let rows: BTreeSet<_> = rows().into_iter().collect();
    for file in WHOLE {
        let tests = tests(file);
        assert!(!tests.is_empty(), "{file} has no tests");
        for test in tests {
            assert!(rows.contains(&(file.to_owned(), test.clone())), "{file}: {test} has no row");
        }
    }
}
