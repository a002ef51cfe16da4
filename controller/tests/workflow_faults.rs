//! Every fault of the format's description that a file can have: its place, and
//! what the description says the error says.

#![allow(clippy::unwrap_used)]

mod common;

use common::{load_text, load_text_with, with_task};
use osmo_controller::workflow::LoadOptions;

/// The file is refused, and one fault begins with `start` and holds `phrase`.
fn refused(text: &str, start: &str, phrase: &str) {
    let faults = match load_text(text) {
        Ok(_) => panic!("accepted, wanted {phrase:?}:\n{text}"),
        Err(faults) => faults,
    };
    let hit = faults.iter().any(|fault| fault.starts_with(start) && fault.contains(phrase));
    assert!(hit, "wanted {start:?} … {phrase:?}, found:\n{}\nin:\n{text}", faults.join("\n"));
}

/// As [`refused`], for a task with these further lines; the first is line 7.
fn task_refused(keys: &str, start: &str, phrase: &str) {
    refused(&with_task(keys), start, phrase);
}

const HEAD: &str = "workflow:\n  name: job\n";
const TASK: &str = "  tasks:\n  - {name: one, image: busybox, command: [a]}\n";

#[test]
fn sections() {
    let file = format!("{HEAD}{TASK}");
    refused(
        &format!("{file}volumes:\n  x: 1\n"),
        "job.yaml:5:1: ",
        "Unknown top-level key \"volumes\"",
    );
    refused(&format!("{file}{HEAD}"), "job.yaml:5:1: ", "Duplicate top-level key \"workflow\"");
    refused("version: 2\n", "job.yaml:1:1: ", "Workflow spec not found");
    refused("", "job.yaml:1:1: ", "Workflow spec not found");
    refused("\"workflow\":\n  name: x\n", "job.yaml:1:1: ", "Workflow spec not found");
    refused(&format!("{file}---\na\n"), "job.yaml:5:1: ", "second YAML document");
    // A key in the first column inside a section ends the section.
    refused(
        &format!("{HEAD}tasks:\n- name: one\n"),
        "job.yaml:3:1: ",
        "Unknown top-level key \"tasks\"",
    );
}

#[test]
fn templates() {
    refused(&format!("workflow:\n  name: {{{{ x }}}}\n{TASK}"), "job.yaml:2:1: ", "undefined");
    refused(&format!("{HEAD}  # {{{{ x }}}}\n{TASK}"), "job.yaml:3:1: ", "undefined");
    refused(&format!("{HEAD}  {{% if x %}}{{% endif %}}\n{TASK}"), "job.yaml:3:1: ", "undefined");
    refused(
        &format!("{HEAD}{TASK}    # ${{#array[@]}}\n"),
        "job.yaml:5:1: ",
        "Jinja Template Error",
    );
    refused(&format!("{HEAD}{TASK}    # {{{{ input:0 }}}}\n"), "job.yaml:5:1: ", "syntax error");
    refused(&format!("{HEAD}{TASK}    # {{{{ output }}}}\n"), "job.yaml:5:1: ", "undefined");
    refused(&format!("{HEAD}{TASK}    # {{% include 'x' %}}\n"), "job.yaml:5:1: ", "Jinja");
    refused(
        &format!("{HEAD}{TASK}default-values:\n  b: {{{{a}}}}\n"),
        "job.yaml:6:",
        "a map cannot be a key",
    );
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
    refused(&format!("{HEAD}{TASK}    # {endless}\n"), "job.yaml:5:1: ", "fuel");
}

#[test]
fn places_follow_a_template_to_the_users_file() {
    let looped = "workflow:\n  name: job\n  tasks:\n  {% for i in range(3) %}\n  - name: t{{ i }}\n    \
                  image: busybox\n    command: [a]\n  {% endfor %}\n  - name: last\n    image: busybox\n    \
                  cmd: [a]\n";
    refused(looped, "job.yaml:11:5: workflow.tasks[3].cmd", "unknown key");
    let skipped =
        "workflow:\n  name: job\n  {% if false %}\n  pool: x\n  {% endif %}\n  labels: 3\n";
    refused(skipped, "job.yaml:6:11: workflow.labels", "expected a map");
}

#[test]
fn options() {
    for options in [
        LoadOptions { set: vec!["x".into()], ..LoadOptions::default() },
        LoadOptions { set_string: vec!["x".into()], ..LoadOptions::default() },
        LoadOptions { set_env: vec!["x".into()], ..LoadOptions::default() },
        LoadOptions { labels: vec!["x".into()], ..LoadOptions::default() },
    ] {
        let faults = load_text_with(&format!("{HEAD}{TASK}"), &options).unwrap_err();
        assert!(faults[0].starts_with("job.yaml: --"), "{faults:?}");
        assert!(faults[0].contains("x is incorrectly formatted"), "{faults:?}");
    }
}

#[test]
fn unknown_keys_name_the_line_and_the_key_that_was_meant() {
    for (written, meant) in [
        ("env: {A: b}", "write `environment`"),
        ("exit_actions: {FAIL: 1}", "did you mean `exitActions`?"),
        ("host_network: true", "did you mean `hostNetwork`?"),
        ("volume_mounts: [a]", "did you mean `volumeMounts`?"),
        ("imputs: []", "did you mean `inputs`?"),
        ("priority: HIGH", "not of the file"),
        ("start_timeout: 3m", "exec_timeout"),
        ("retries: 3", "RESCHEDULE"),
        ("depends_on: [a]", "inputs"),
        ("workdir: /", "cd"),
        ("shell: bash", "[sh, -c]"),
        ("ports: [1]", "network"),
    ] {
        let key = written.split(':').next().unwrap();
        task_refused(
            written,
            &format!("job.yaml:7:5: workflow.tasks[0].{key}: unknown key; "),
            meant,
        );
    }
    task_refused(
        "inputs:\n- {dataset: x}",
        "job.yaml:8:8: workflow.tasks[0].inputs[0].dataset: unknown",
        "`url`",
    );
    refused(
        &format!("{HEAD}  timeout: {{start_timeout: 1m}}\n{TASK}"),
        "job.yaml:3:13: ",
        "unknown key",
    );
    refused(
        &format!("{HEAD}  priority: LOW\n{TASK}"),
        "job.yaml:3:3: workflow.priority: unknown key",
        "",
    );
}

#[test]
fn names() {
    for bad in ["1a", "a-", "-a", "a.b", "a b", "ü"] {
        let text = format!("workflow:\n  name: '{bad}'\n{TASK}");
        refused(&text, "job.yaml:2:9: workflow.name: ", "does not match the pattern");
    }
    let long = "a".repeat(65);
    refused(&format!("workflow:\n  name: {long}\n{TASK}"), "job.yaml:2:9: ", "too long");
    let at_limit = "a".repeat(58);
    let task =
        |name: &str| format!("{HEAD}  tasks:\n  - {{name: {name}, image: x, command: [a]}}\n");
    assert!(load_text(&task(&at_limit)).is_ok());
    refused(&task(&"a".repeat(59)), "job.yaml:4:5: ", "too long");
    refused(&task("osmo_CTRL"), "job.yaml:4:12: ", "restricted name");
    let two = |a: &str, b: &str| format!("{}  - {{name: {b}, image: x, command: [a]}}\n", task(a));
    refused(&two("a_b", "A-b"), "job.yaml:5:5: ", "same name");
    refused(&two("a", "a-group"), "job.yaml:", "same name");
}

#[test]
fn structure() {
    refused(HEAD, "job.yaml:2:3: ", "need at least one group or task");
    refused(&format!("workflow:\n{TASK}"), "job.yaml:2:3: workflow.name: ", "required");
    let both = format!(
        "{HEAD}{TASK}  groups:\n  - name: g\n    tasks: [{{name: x, image: x, command: [a]}}]\n"
    );
    refused(&both, "job.yaml:5:3: ", "cannot use both");
    refused(
        &format!("{HEAD}  groups:\n  - name: g\n    tasks: []\n"),
        "job.yaml:4:5: ",
        "at least one task",
    );
    let leads = |a: &str, b: &str| {
        format!(
            "{HEAD}  groups:\n  - name: g\n    tasks:\n    - {{name: a, image: x, command: [a]{a}}}\n    \
             - {{name: b, image: x, command: [a]{b}}}\n"
        )
    };
    refused(&leads("", ""), "job.yaml:4:5: ", "has 0 leader(s), must have exactly one");
    refused(&leads(", lead: true", ", lead: true"), "job.yaml:4:5: ", "has 2 leader(s)");
    refused("workflow: [1]\n", "job.yaml:1:11: workflow: ", "expected a map");
    refused("workflow:\n", "job.yaml:1:", "expected a map");
    refused(&format!("{HEAD}  timeout: null\n{TASK}"), "job.yaml:3:12: ", "found nothing (null)");
}

#[test]
fn dependencies() {
    task_refused(
        "inputs:\n- task: one",
        "job.yaml:8:7: ",
        "requires input group one-group before itself",
    );
    task_refused("inputs:\n- task: One", "job.yaml:8:7: ", "task input \"One\" does not exist");
    let later = format!(
        "{HEAD}  tasks:\n  - name: a\n    image: x\n    command: [a]\n    inputs: [{{task: b}}]\n  \
         - {{name: b, image: x, command: [a]}}\n"
    );
    refused(&later, "job.yaml:7:14: ", "group a-group requires input group b-group before itself");
    task_refused("inputs: [{task: a, url: 's3://b'}]", "job.yaml:7:14: ", "one source");
    task_refused("inputs: [{regex: a}]", "job.yaml:7:14: ", "needs a source");
    task_refused("inputs: [text]", "job.yaml:7:14: ", "expected a map");
}

#[test]
fn task_values() {
    refused(
        &format!("{HEAD}  tasks:\n  - {{name: a, image: x, command: python}}\n"),
        "job.yaml:4:34: ",
        "expected a list",
    );
    refused(
        &format!("{HEAD}  tasks:\n  - {{name: a, image: x, command: []}}\n"),
        "job.yaml:4:34: ",
        "at least one command",
    );
    refused(
        &format!("{HEAD}  tasks:\n  - {{name: a, command: [a]}}\n"),
        "job.yaml:4:5: workflow.tasks[0].image",
        "required",
    );
    refused(
        &format!("{HEAD}  tasks:\n  - {{name: a, image: 'A B', command: [a]}}\n"),
        "job.yaml:4:22: ",
        "could not parse docker image",
    );
    task_refused("args: [yes]", "job.yaml:7:12: ", "found a boolean (true)");
    task_refused("args: [2024-01-01]", "job.yaml:7:12: ", "found a date");
    task_refused("environment: {A: null}", "job.yaml:7:22: ", "found nothing");
    task_refused("environment: {A: [b]}", "job.yaml:7:22: ", "found a list");
    task_refused("environment: {A: 2024-01-01}", "job.yaml:7:22: ", "found a date");
    task_refused("environment:\n- {name: A, value: b}", "job.yaml:8:", "expected a map");
    task_refused("lead: maybe", "job.yaml:7:11: ", "true or false");
    task_refused("resource: big", "job.yaml:7:15: ", "undefined resource");
    task_refused("downloadType: mount", "job.yaml:7:19: ", "invalid downloadType");
    task_refused("cacheSize: 101%", "job.yaml:7:16: ", "0–100 percent");
    task_refused("credentials: {a: null}", "job.yaml:7:22: ", "must be a str or dict");
    let missing = format!("{HEAD}  resources: {{big: {{cpu: 1}}}}\n{TASK}");
    refused(&missing, "job.yaml:5:5: ", "has no specified resource");
}

#[test]
fn data_keys() {
    for bad in [
        "http://a/b",
        "file:///a",
        "/plain",
        "s3://",
        "s3://a//b",
        "S3://a",
        "s3://a/b*",
        "azure://account",
        "swift://h/n",
    ] {
        task_refused(
            &format!("outputs: [{{url: '{bad}'}}]"),
            "job.yaml:7:21: ",
            "is no storage address",
        );
    }
    task_refused("outputs: [{url: 's3://a', task: b}]", "job.yaml:7:31: ", "unknown key");
    task_refused("inputs: [{url: 's3://a', regex: '('}]", "job.yaml:7:37: ", "Invalid regex");
    task_refused("kpis: [{path: a}]", "job.yaml:7:12: ", "required");
    let checkpoint = |frequency: &str, path: &str| {
        format!("checkpoint: [{{url: 's3://a', frequency: {frequency}, path: '{path}'}}]")
    };
    task_refused(&checkpoint("true", "/a"), "job.yaml:7:45: ", "expected a duration");
    task_refused(&checkpoint("1m", "/a;b"), "job.yaml:7:", "`;`");
    for bad in ["'600'", "1h30m", "1.5h", "1w", "''"] {
        task_refused(&checkpoint(bad, "/a"), "job.yaml:7:45: ", "expected a duration");
    }
}

#[test]
fn files() {
    for bad in ["/", "", "/osmo/x", "osmo/data/input/a", "/osmo/data/output"] {
        let keys = format!("files: [{{path: '{bad}', contents: a}}]");
        task_refused(&keys, "job.yaml:7:20: ", "");
    }
    task_refused(
        "files: [{path: /a, contents: a}, {path: /a, contents: b}]",
        "job.yaml:7:38: ",
        "several files at the same path",
    );
    task_refused(
        "files: [{path: /a, contents: a, localpath: b}]",
        "job.yaml:7:48: ",
        "contents and localpath",
    );
    task_refused("files: [{path: /a, localpath: none.txt}]", "job.yaml:7:35: ", "No such file");
    task_refused("files: [{path: /a, contents: true}]", "job.yaml:7:34: ", "expected text");
    task_refused("files: [{path: /a}]", "job.yaml:7:13: ", "required");
    task_refused(
        "files: [{path: /a, contents: '@', base64: true}]",
        "job.yaml:7:34: ",
        "not base64",
    );
    for good in ["/osmo/data/output/a", "/opt/../osmo/x", "rel"] {
        assert!(
            load_text(&with_task(&format!("files: [{{path: '{good}', contents: 1}}]"))).is_ok()
        );
    }
}

#[test]
fn exit_actions() {
    task_refused(
        "exitActions: {RESTART: 1}",
        "job.yaml:7:19: ",
        "Invalid exit action; write RESCHEDULE",
    );
    for bad in ["-1", "true", "'1, 2'", "a", "''", "[1]"] {
        task_refused(
            &format!("exitActions: {{FAIL: {bad}}}"),
            "job.yaml:7:25: ",
            "Invalid exit codes",
        );
    }
}

#[test]
fn resources_and_labels() {
    let resource = |entry: &str| format!("{HEAD}  resources: {{default: {{{entry}}}}}\n{TASK}");
    for bad in ["cpu: 0.5", "cpu: 500m", "gpu: -1"] {
        refused(&resource(bad), "job.yaml:3:30: ", "whole number");
    }
    for bad in ["1GB", "1k", "1gi", "1Pi", "1 Gi", "x"] {
        refused(&resource(&format!("memory: {bad}")), "job.yaml:3:33: ", "a size in bytes");
    }
    refused(
        &resource("topology: [{key: a, requirementType: Required}]"),
        "job.yaml:3:62: ",
        "required or preferred",
    );
    let label = |label: &str| format!("{HEAD}  labels: {{{label}}}\n{TASK}");
    refused(&label("a: 1"), "job.yaml:3:15: ", "labels must be strings");
    refused(&label("a: ''"), "job.yaml:3:15: ", "no label value");
    refused(&label("UP/a: b"), "job.yaml:3:18: ", "prefix");
    refused(&label("a_: b"), "job.yaml:3:16: ", "no label key");
    let many: Vec<String> = (0..17).map(|n| format!("l{n}: v")).collect();
    refused(&label(&many.join(", ")), "job.yaml: ", "17 labels, 16 are allowed");
}

#[test]
fn yaml_itself() {
    refused(&format!("{HEAD}{TASK}  labels: [\n"), "job.yaml:", "not YAML");
    refused(
        &format!("{HEAD}{TASK}  labels: {{a: !!python/none x}}\n"),
        "job.yaml:5:",
        "not used in workflow files",
    );
    refused(&format!("{HEAD}{TASK}  labels: {{a: *gone}}\n"), "job.yaml:5:", "not YAML");
    // Ten lines that name 10^10 values.
    let mut bomb = String::from("workflow:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..10 {
        let of = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("  a{n}: &a{n} [{of}]\n"));
    }
    refused(&bomb, "job.yaml:", "more than 200000 values");
    let deep = format!("workflow: {}", "[".repeat(100));
    refused(&deep, "job.yaml:1:", "");
}

#[test]
fn all_faults_come_at_once() {
    let faults = load_text(&with_task("args: [true]\nlead: 7\nlabel: x\ninputs: [{task: gone}]"))
        .unwrap_err();
    let places: Vec<_> = faults.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["job.yaml:7:12", "job.yaml:8:11", "job.yaml:9:5", "job.yaml:10:14"]);
}

#[test]
fn no_broken_file_brings_the_reader_down() {
    for name in ["hello", "count", "chain", "pair", "train"] {
        let text = std::fs::read_to_string(common::fixture(&format!("{name}.yaml"))).unwrap();
        for at in (0..text.len()).step_by(9) {
            // A verdict is enough: cut short, with a line lost, with a bracket too many.
            let _ = load_text(&text[..at]);
            let _ = load_text(&format!("{}{}", &text[..at], &text[(at + 9).min(text.len())..]));
            let _ = load_text(&format!("{}{{{}", &text[..at], &text[at..]));
        }
    }
}
