//! Scalars and templates, compared with PyYAML and Jinja2 where they are there,
//! and the tables of the format's description everywhere.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::process::Command;
use std::time::Duration;

use common::{good, load_text, load_text_with, only_task, with_task};
use osmo_controller::workflow::model::{ExitAction, Text};
use osmo_controller::workflow::tokens::{TokenTable, resolve};
use osmo_controller::workflow::{LoadOptions, argv, environment, expand};

/// Runs a Python program on `argument`; `None` when a module is missing.
fn python(modules: &str, program: &str, argument: &str) -> Option<String> {
    let has = Command::new("python3").args(["-c", &format!("import {modules}")]).output();
    if !has.is_ok_and(|out| out.status.success()) {
        let strict = std::env::var_os("OSMO_TEST_STRICT").is_some_and(|on| on == "1");
        assert!(!strict, "python3 with {modules} is needed");
        eprintln!("skipped: python3 with {modules} is not here");
        return None;
    }
    let out = Command::new("python3").args(["-c", program, argument]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(String::from_utf8(out.stdout).unwrap())
}

/// What the command would see of a plain scalar, `None` when it is refused.
fn seen(scalar: &str) -> Option<String> {
    let loaded = load_text(&with_task(&format!("environment:\n  A: {scalar}"))).ok()?;
    Some(loaded.workflow.groups[0].tasks[0].environment[0].1.text.clone())
}

#[test]
fn the_tables_of_yaml_1_1() {
    for (written, value) in [
        ("yes", "True"),
        ("on", "True"),
        ("No", "False"),
        ("off", "False"),
        ("true", "True"),
        ("Y", "Y"),
        ("N", "N"),
        ("1:30", "90"),
        ("1e3", "1e3"),
        ("1.0e3", "1.0e3"),
        ("0755", "493"),
        ("0o17", "0o17"),
        ("1_000", "1000"),
        (".5", "0.5"),
        ("1", "1"),
        ("1.0", "1.0"),
        ("0.1", "0.1"),
        ("1.0e+20", "1e+20"),
        ("text", "text"),
    ] {
        assert_eq!(seen(written).as_deref(), Some(value), "{written}");
    }
    for refused in ["2024-01-01", "null", "~", "", "[a]", "{a: b}"] {
        assert_eq!(seen(refused), None, "{refused:?}");
    }
}

#[test]
fn scalars_are_what_pyyaml_says() {
    let scalars = [
        "yes",
        "Yes",
        "YES",
        "yEs",
        "y",
        "n",
        "on",
        "OFF",
        "true",
        "TRUE",
        "tRue",
        "null",
        "Null",
        "~",
        "0",
        "-0",
        "+1",
        "-17",
        "007",
        "08",
        "0o7",
        "0x1F",
        "-0x1f",
        "0b101",
        "0b",
        "1_000",
        "_1",
        "1__0",
        "1:30",
        "1:60",
        "-1:30:15",
        "01:30",
        "1:30.5",
        "12:34:56",
        "0:30",
        "1.",
        ".5",
        "-.5",
        "+.5",
        "1.5e3",
        "1.5e+3",
        "1e+3",
        "1.0E-7",
        "1_0.5",
        ".inf",
        "-.INF",
        ".nan",
        "+.inf",
        "1.0e+16",
        "1.0e+15",
        "0.0001",
        "0.00001",
        "123456789.123456789",
        "1.2.3",
        "v1",
        "1a",
        "2024-01-01",
        "2024-1-1",
        "2024-01-01T10:00:00Z",
        "2024-01-01 10:00:00",
        "20240101",
        "'yes'",
        "\"1\"",
        "!!str 1",
        "!!int '7'",
        "!!float 3",
        "! 5",
        "a:b",
        "http://x:80/y",
        "-a",
        "- a",
        "?a",
        "a#b",
        "a #b",
        "\"a\\tb\\u00e9\"",
        "'it''s'",
        "%a",
        "1,2",
        "12345678901234567890",
        "=",
        "<<",
        "*a",
        "&a b",
        "|",
        ">",
        "@a",
        "`a",
        "NaN",
        "inf",
        "0.1e1",
        "1e3",
        "._5",
        "0_7",
    ];
    let program = r#"
import json, sys, yaml, datetime
out = []
for text in json.loads(sys.argv[1]):
    try:
        value = yaml.safe_load("A: " + text + "\n")["A"]
        out.append(str(value) if isinstance(value, (str, int, float)) else None)
    except (yaml.YAMLError, ValueError):
        out.append(None)
print(json.dumps(out))
"#;
    let Some(out) = python("yaml", program, &serde_json::to_string(&scalars[..]).unwrap()) else {
        return;
    };
    let expected: Vec<Option<String>> = serde_json::from_str(&out).unwrap();
    let differing: Vec<_> = scalars
        .iter()
        .zip(expected)
        .filter(|(scalar, expected)| seen(scalar) != *expected)
        .map(|(scalar, expected)| (scalar, expected, seen(scalar)))
        .collect();
    assert!(differing.is_empty(), "scalar, PyYAML, ours: {differing:#?}");
}

/// The arguments of the only task, from a template for the lines below `args:`.
fn rendered(args: &str, defaults: &str, options: &LoadOptions) -> Result<Vec<String>, Vec<String>> {
    let text = with_task(&format!("args:\n{args}")) + defaults;
    let loaded = load_text_with(&text, options)?;
    Ok(loaded.workflow.groups[0].tasks[0].args.iter().map(|arg| arg.text.clone()).collect())
}

#[test]
fn templates_are_what_jinja_says() {
    let defaults = "default-values:\n  t: true\n  n: null\n  f: 22.10\n  big: 1.0e+20\n  s: it's\n  \
                    m: {b: '10m', a: [1, 'x', null, 2.5]}\n  list: [3, 1, 2]\n  words: [b, a]\n";
    let cases = [
        "- '{{ t }}'",
        "- \"{{ n }}\"",
        "- '{{ f }}'",
        "- '{{ big }}'",
        "- \"{{ s }}\"",
        "- \"{{ m }}\"",
        "- '{{ m.b }} {{ m[\"b\"] }}'",
        "- '{{ list }}'",
        "- '{{ list | sort | join(\",\") }}'",
        "{% for x in list %}\n- v{{ x }}\n{% endfor %}",
        "{% for x in range(2) -%}\n- v{{ x }}\n{% endfor %}",
        "{% for k in m %}\n- k{{ k }}{{ loop.index }}\n{% endfor %}",
        "{% set z = 3 %}\n- a{{ z * 2 }}",
        "- '{{ 7 / 2 }} {{ 7 // 2 }} {{ 2 ** 3 }} {{ 7 % 4 }}'",
        "{% if t %}\n- yes-it-is\n{% elif n %}\n- x\n{% else %}\n- no\n{% endif %}",
        "- '{{ missing | default(\"d\") }}'",
        "- {% raw %}'{{ x }}'{% endraw %}",
        "- '{% raw %}{{host:w_{% endraw %}{{ 3 }}{% raw %}}}{% endraw %}'",
        "- '{{output}}/{{input:0}}'",
        "# {# gone #}\n- a",
        "- \"{{ words | upper }}\"",
        "- '{{ s | length }} {{ words | first }}'",
        "- '{{ \"%s-%d\" | format(\"a\", 3) }}'",
        "- '{{ 3 if t else 4 }}'",
        "- '{{ list | tojson }}'",
        "- '{{ [1, [true, none], \"q\"] | string | length }}'",
        "- '{{ 1.0 }} {{ 3 }} {{ -0.5 }}'",
        "- '{{ t and f }}'",
        "- '{{ \"a\" ~ 1 ~ t }}'",
        "- '{{ 3 is divisibleby 3 }}'",
    ];
    let program = r#"
import json, re, sys, yaml
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
defaults, cases = json.loads(sys.argv[1])
values = yaml.safe_load(defaults)["default-values"]
out = []
for case in cases:
    kept = []
    def hide(hit):
        kept.append(hit.group(0))
        return "@@%d@@" % (len(kept) - 1)
    text = re.sub(r"\{\{(?:uuid|output|workflow_id|input:[^}]*|host:[^}]*)\}\}", hide, case)
    text = SandboxedEnvironment(undefined=StrictUndefined).from_string(text).render(values)
    text = re.sub(r"@@(\d+)@@", lambda hit: kept[int(hit.group(1))], text)
    out.append([str(arg) for arg in yaml.safe_load(text)])
print(json.dumps(out))
"#;
    let argument = serde_json::to_string(&(defaults, &cases[..])).unwrap();
    let Some(out) = python("yaml, jinja2", program, &argument) else { return };
    let expected: Vec<Vec<String>> = serde_json::from_str(&out).unwrap();
    let mut differing = Vec::new();
    for (case, expected) in cases.iter().zip(expected) {
        let ours = rendered(case, defaults, &LoadOptions::default());
        if ours.as_ref() != Ok(&expected) {
            differing.push((case, expected, ours));
        }
    }
    assert!(differing.is_empty(), "template, Jinja2, ours: {differing:#?}");
}

#[test]
fn variables_are_typed_and_ranked() {
    let options = LoadOptions {
        set: ["i=1_000", "f=1.10", "e=1e3", "t=true", "n=nan", "both=1", "q=a=b"]
            .map(String::from)
            .into(),
        set_string: vec!["both=01".into(), "text=5".into()],
        ..LoadOptions::default()
    };
    let args = "- 'x{{ i }} {{ f }} {{ e }} {{ t }} {{ n }} {{ both }} {{ q }} {{ d }}'";
    let defaults = "default-values:\n  i: 5\n  d: 7\n";
    assert_eq!(rendered(args, defaults, &options).unwrap(), ["x1000 1.1 1000.0 true nan 01 a=b 7"]);
    let fault = rendered("- '{{ range(text) }}'", defaults, &options).unwrap_err();
    assert!(fault[0].contains("Jinja Template Error"), "{fault:?}");
}

#[test]
fn durations() {
    for (written, micros) in [
        ("3d", 259_200_000_000),
        ("2h", 7_200_000_000),
        ("15m", 900_000_000),
        ("30s", 30_000_000),
        ("5 s", 5_000_000),
        ("500ms", 500_000),
        ("7us", 7),
        ("90", 90_000_000),
        ("1.5", 1_500_000),
        ("P1D", 86_400_000_000),
        ("PT1H30M", 5_400_000_000),
        ("PT10S", 10_000_000),
        ("true", 1_000_000),
        ("1:30", 90_000_000),
    ] {
        let text = format!(
            "workflow:\n  name: a\n  timeout: {{exec_timeout: {written}}}\n  tasks:\n  - {{name: b, image: x, command: [a]}}\n"
        );
        assert_eq!(good(&text).exec_timeout, Some(Duration::from_micros(micros)), "{written}");
        let keys = format!("checkpoint: [{{path: /a, url: 's3://b', frequency: {written}}}]");
        if written != "true" {
            // Cut to whole seconds.
            let frequency = only_task(&with_task(&keys)).checkpoints[0].frequency;
            assert_eq!(frequency, Duration::from_secs(micros / 1_000_000), "{written}");
        }
    }
    for default in ["0", "null"] {
        let text = format!(
            "workflow:\n  name: a\n  timeout: {{exec_timeout: {default}}}\n  tasks:\n  - {{name: b, image: x, command: [a]}}\n"
        );
        assert_eq!(good(&text).exec_timeout, None);
    }
}

#[test]
fn quantities() {
    for (written, bytes) in [
        ("1G", 1u64 << 30),
        ("1Gi", 1 << 30),
        ("1GiB", 1 << 30),
        ("2Ti", 2 << 40),
        ("512Mi", 512 << 20),
        ("3K", 3072),
        ("1.5Ki", 1536),
        ("7B", 7),
        ("4096", 4096),
        ("2000m", 2),
        ("'10'", 10),
    ] {
        let text = format!(
            "workflow:\n  name: a\n  resources: {{default: {{memory: {written}, cpu: \"4\"}}}}\n  tasks:\n  - {{name: b, image: x, command: [a]}}\n"
        );
        let resources = good(&text).groups[0].tasks[0].resources.clone();
        assert_eq!((resources.memory_bytes, resources.cpu), (Some(bytes), Some(4)), "{written}");
    }
}

#[test]
fn exit_codes() {
    let task =
        only_task(&with_task("exitActions: {complete: '0,1-10,16', RESCHEDULE: 5-1, Fail: 300}"));
    let action = |code| task.exit_actions.action(code);
    assert_eq!([0, 1, 10, 16].map(action), [ExitAction::Complete; 4]);
    assert_eq!([3 + 8, 17, 300].map(action), [ExitAction::Fail; 3]);
    assert_eq!(only_task(&with_task("")).exit_actions.action(0), ExitAction::Complete);
    assert_eq!(only_task(&with_task("")).exit_actions.action(3), ExitAction::Fail);
}

#[test]
fn anchors_merges_and_duplicates() {
    let task = only_task(&with_task(
        "environment: &e {A: 1, B: 2}\nargs: [x]\nargs: [y]\ncredentials: {c: {<<: *e, B: 3}}",
    ));
    assert_eq!(task.args[0].text, "y");
    assert_eq!(
        format!("{:?}", task.credentials[0].form),
        "Environment([(\"A\", \"1\"), (\"B\", \"3\")])"
    );
}

#[test]
fn tokens_and_their_warnings() {
    let loaded = load_text(&with_task(
        "inputs: [{url: 's3://a/x'}]\nargs: ['{{input:0}} {{input:9}}', '{{host:x}}', '{{uuid}}', '{{host:one}}']",
    ))
    .unwrap();
    let said: Vec<String> = loaded
        .warnings
        .iter()
        .map(|one| one.to_string().rsplit('/').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        said,
        [
            "job.yaml:8:12: warning: nothing replaces {{input:9}}, it stays as it is; the task has no such input; positions count from 0",
            "job.yaml:8:39: warning: nothing replaces {{host:x}}, it stays as it is; only tasks of the same group have a host name",
            "job.yaml:8:53: warning: nothing replaces {{uuid}}, it stays as it is",
        ]
    );
    let table = TokenTable {
        inputs: vec!["/in".into()],
        hosts: vec![("one".into(), "127.0.0.1".into())],
        ..TokenTable::default()
    };
    let task = resolve(&loaded.workflow.groups[0].tasks[0], &table);
    let args: Vec<_> = task.args.iter().map(|arg| arg.text.as_str()).collect();
    assert_eq!(args, ["/in {{input:9}}", "{{host:x}}", "{{uuid}}", "127.0.0.1"]);
}

#[test]
fn references_to_the_environment() {
    let lookup = |name: &str| (name == "A").then(|| "1".to_owned());
    for (written, value) in [
        ("$(A)", "1"),
        ("x$(A)y", "x1y"),
        ("$(B)", "$(B)"),
        ("$$(A)", "$(A)"),
        ("$A", "$A"),
        ("$$", "$"),
        ("$(A", "$(A"),
        ("$", "$"),
        ("$$$(A)", "$1"),
    ] {
        assert_eq!(expand(written, lookup), value, "{written}");
    }
    let task = only_task(&with_task(
        "environment: {A: one, B: '$(A)-two', C: '$(D)', D: x}\nargs: ['$(B)', '$(HOME)']",
    ));
    let seen = environment(&task, &[("HOME".to_owned(), "/root".to_owned())]);
    let value = |name: &str| seen.iter().find(|(known, _)| known == name).unwrap().1.as_str();
    assert_eq!(["A", "B", "C"].map(value), ["one", "one-two", "$(D)"]);
    assert_eq!(argv(&task, &seen), ["true", "one-two", "/root"]);
}

#[test]
fn flags_write_into_every_task() {
    let options = LoadOptions {
        set_env: vec!["A=b=c".into()],
        labels: vec!["team=x".into()],
        ..LoadOptions::default()
    };
    let loaded = load_text_with(&with_task("environment: {A: old}"), &options).unwrap();
    let (name, value): &(Text, Text) = &loaded.workflow.groups[0].tasks[0].environment[0];
    assert_eq!((name.text.as_str(), value.text.as_str()), ("A", "b=c"));
    assert_eq!(loaded.workflow.labels, [("team".to_owned(), "x".to_owned())]);
}

#[test]
fn keys_without_effect_are_named_once_and_refused_when_strict() {
    let text = "workflow:\n  name: a\n  pool: p\n  tasks:\n  - {name: b, image: x, command: [a], privileged: true}\n  \
                - {name: c, image: x, command: [a], privileged: true}\n";
    let warnings = load_text(text).unwrap().warnings;
    let keys: Vec<_> =
        warnings.iter().map(|one| (one.place.unwrap().line, one.key.as_str())).collect();
    assert_eq!(keys, [(3, "workflow.pool"), (5, "workflow.tasks[].privileged")]);
    let strict = LoadOptions { strict: true, ..LoadOptions::default() };
    assert_eq!(load_text_with(text, &strict).unwrap_err().len(), 2);
}

#[test]
fn local_files_lie_beside_the_workflow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.yaml");
    std::fs::write(
        &path,
        with_task("files: [{path: /a, localpath: sub/run.sh}, {path: /b, localpath: x.bin}]"),
    )
    .unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("sub/run.sh"), "echo {{output}} {% raw %}").unwrap();
    std::fs::write(folder.path().join("x.bin"), [0xff, 0, 1]).unwrap();
    let loaded = osmo_controller::workflow::load(&path, &LoadOptions::default()).unwrap();
    let table = TokenTable { output: "/out".into(), ..TokenTable::default() };
    let task = resolve(&loaded.workflow.groups[0].tasks[0], &table);
    assert_eq!(task.files[0].contents.as_bytes(), b"echo /out {% raw %}");
    assert_eq!(task.files[1].contents.as_bytes(), [0xff, 0, 1]);
    assert_eq!(loaded.warnings.len(), 1, "a template in a local file is warned of");
}
