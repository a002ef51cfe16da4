//! What `--json` prints has the fields and types that the tables of
//! `docs/CLI.md` name, all of them and no other.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use osmo_tests::program::Programs;
use osmo_tests::store::TestStore;
use serde_json::Value;

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

/// Field → type.
type Fields = BTreeMap<String, String>;

/// The table below the heading `name`.
fn table(name: &str) -> Fields {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CLI.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once(&format!("\n### {name}\n")).unwrap();
    let section = section.split("\n#").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let fields: Fields = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
        })
        .collect();
    assert!(!fields.is_empty(), "no table below {name}");
    fields
}

fn is(value: &Value, kind: &str) -> bool {
    kind.split(" or ").any(|kind| match kind {
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("no type of JSON: {other}"),
    })
}

/// The value's fields, with those of an inner object under `outer.inner`
/// unless the table has the object itself.
fn flat(value: &Value, fields: &Fields, below: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, value) in value.as_object().unwrap() {
        let name = format!("{below}{name}");
        if value.is_object() && !fields.contains_key(&name) {
            found.extend(flat(value, fields, &format!("{name}.")));
        } else {
            found.push((name, value.clone()));
        }
    }
    found
}

fn assert_is(value: &Value, name: &str, absent: &[&str]) {
    let mut fields = table(name);
    for (field, value) in flat(value, &fields.clone(), "") {
        let kind = fields.remove(&field);
        let kind = kind.unwrap_or_else(|| panic!("{name}: {field} is not documented"));
        assert!(is(&value, &kind), "{name}: {field} is {value}, and documented as {kind}");
    }
    assert_eq!(fields.keys().collect::<Vec<_>>(), absent, "{name}: documented, and not there");
}

fn lines(store: &TestStore, code: i32, args: &[&str]) -> Vec<Value> {
    let args: Vec<&OsStr> = args.iter().map(|arg| -> &OsStr { arg.as_ref() }).collect();
    let output = PROGRAMS.data(store.access(), "epoll", &args).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn outputs_have_the_documented_fields_and_no_other() {
    let store = TestStore::start("json").unwrap();
    for key in ["p/a", "p/b/c"] {
        store.put("json", key, key.as_bytes()).unwrap();
    }
    let to = tempfile::tempdir().unwrap();
    let path = to.path().to_str().unwrap();
    let ask = |code, args: &[&str]| lines(&store, code, args);

    for args in [&["list", "s3://json/p", "--json"][..], &["list", "s3://json", "-r", "--json"]] {
        let listed = ask(0, args);
        assert_eq!(listed.len(), 2);
        listed.iter().for_each(|line| assert_is(line, "A listing's line", &[]));
    }
    // Twice: the second time, each file is there and fails.
    for code in [0, 2] {
        let down = ["download", "s3://json/p", path, "--if-exists", "error", "--json"];
        let report = ask(code, &down);
        assert_eq!(report.len(), 1);
        assert_is(&report[0], "The report", &[]);
        let failures = report[0]["failures"].as_array().unwrap();
        assert_eq!(failures.len(), usize::try_from(code).unwrap());
        failures.iter().for_each(|failure| assert_is(failure, "A failure", &[]));
    }
    for args in [
        &["download", "s3://json/p", path, "--if-exists", "skip", "--dry-run", "--json"][..],
        &["upload", "s3://json/q", path, "--dry-run", "--json"],
        &["delete", "s3://json/p", "--dry-run", "--json"],
    ] {
        let mut rehearsed = ask(0, args);
        assert_is(&rehearsed.pop().unwrap(), "The report", &[]);
        assert_eq!(rehearsed.len(), 2);
        rehearsed.iter().for_each(|line| assert_is(line, "A dry run's line", &[]));
    }
    for verb in
        [&["upload", "s3://json/q", path, "--json"][..], &["delete", "s3://json/q", "--json"]]
    {
        let report = ask(0, verb);
        assert_eq!(report.len(), 1);
        assert_is(&report[0], "The report", &[]);
    }
    assert_is(&ask(0, &["check", "s3://json/p"])[0], "An answer", &["error"]);
    assert_is(&ask(0, &["check", "s3://none/p"])[0], "An answer", &[]);
}
