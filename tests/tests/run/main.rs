//! `osmo-controller run`: whole task pods, real processes, from the workflow
//! file to the exit status.

#![allow(clippy::unwrap_used)]

mod browser;
mod desk;
mod live;
mod places;
mod pod;
mod sessions;
mod stops;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use desk::{Desk, PROGRAMS, example, report, said, shell};
use osmo_tests::under_both_drivers;
use serde_json::Value;

under_both_drivers!(hello_ends_well, a_chain_hands_its_data_on, the_example_stays_small);

fn hello_ends_well(driver: &str) {
    let desk = Desk::new();
    let output = desk.run(&example("hello.yaml"), &["--json", "--io", driver]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report = report(&output);
    assert_eq!(report["status"], "COMPLETED");
    let sidecar = &report["tasks"][0]["sidecar"];
    assert_eq!(sidecar["io_driver"], driver, "{report}");
    assert_eq!(sidecar["code"], 0);
    desk.assert_clean();
}

fn a_chain_hands_its_data_on(driver: &str) {
    let desk = Desk::new();
    let text = r#"
workflow:
  name: chain
  tasks:
  - name: make
    image: busybox:1.36
    command: [sh, -c]
    args: ['mkdir -p {{output}}/sub; seq 1 100 > {{output}}/sub/numbers.txt; echo no > {{output}}/skipped.log']
  - name: sum
    image: busybox:1.36
    command: [sh, -c]
    args: ["ls {{input:0}}; awk '{s += $1} END {print \"sum is \" s}' {{input:make}}/sub/numbers.txt"]
    inputs:
    - task: make
      regex: .*\.txt$
"#;
    let output = desk.run_text(text, &["--io", driver]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    // 100 * 101 / 2
    assert!(stdout.contains("[sum] sum is 5050"), "{}", said(&output));
    assert!(stdout.contains("[sum] sub\n") && !stdout.contains("skipped.log"), "{stdout}");
    desk.assert_clean();
}

fn the_example_stays_small(driver: &str) {
    let desk = Desk::new();
    let output = desk.run(&example("train.yaml"), &["--json", "--io", driver]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report = report(&output);
    let sidecar = &report["tasks"][0]["sidecar"];
    let phase = |name: &str| {
        sidecar["phases"].as_array().unwrap().iter().find(|phase| phase["phase"] == name).unwrap()
    };
    assert!(phase("download")["bytes"].as_u64().unwrap() >= 1 << 30, "{report}");
    assert_eq!(phase("download")["verified"], phase("download")["files"], "{report}");
    assert!(phase("upload")["files"].as_u64().unwrap() > 0, "{report}");
    let peak = sidecar["rss_bytes_peak"].as_u64().unwrap();
    assert!(peak > 0 && peak <= 100 << 20, "peak RSS {peak}");
    desk.assert_clean();
}

#[test]
fn the_command_decides_the_exit_status() {
    for (script, code) in [("exit 7", 7), ("kill -TERM $$$$", 128 + 15), ("true", 0)] {
        let desk = Desk::new();
        let output = desk.run_text(&shell(script), &["--json"]);
        assert_eq!(output.status.code(), Some(code), "{script}: {}", said(&output));
        assert_eq!(report(&output)["tasks"][0]["code"], code, "{}", said(&output));
    }
}

#[test]
fn what_cannot_be_started_is_126_or_127() {
    for (program, code) in [("no-such-program", 127), ("/etc/passwd", 126)] {
        let desk = Desk::new();
        let text = shell("").replace("[sh, -c]", &format!("[{program}]"));
        let output = desk.run_text(&text, &[]);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(program), "{}", said(&output));
    }
}

#[test]
fn outputs_survive_a_failed_command() {
    let desk = Desk::new();
    let output = desk.run_text(&shell("echo kept > {{output}}/file; exit 3"), &["--json"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let report = report(&output);
    let phases = report["tasks"][0]["sidecar"]["phases"].as_array().unwrap().clone();
    let upload = phases.iter().find(|phase| phase["phase"] == "upload").unwrap();
    assert_eq!(upload["files"], 1, "{report}");
}

#[test]
fn lines_arrive_in_order_and_whole() {
    let desk = Desk::new();
    let script = "seq 1 5000\nprintf 'no newline at the end'";
    let output = desk.run_text(&shell(script), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = stdout.lines().filter_map(|line| line.strip_prefix("[only] ")).collect();
    let expected: Vec<String> = (1..=5000)
        .map(|number| number.to_string())
        .chain(["no newline at the end".to_owned()])
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn the_tree_is_at_osmo() {
    let desk = Desk::new();
    let script = "ls -d /osmo/data/input /osmo/data/output /osmo/input /osmo/output\n\
                  echo text > /osmo/output/file\ntest \"$(pwd)\" = /osmo/run/workspace\ntest \"$(cat {{output}}/file)\" = text\n\
                  osmo --version";
    let output = desk.run_text(&shell(script), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!Path::new("/osmo/data").exists(), "the host has a tree now");
}

#[test]
fn a_missing_input_fails_the_task() {
    let desk = Desk::new();
    let text = format!("{}    inputs:\n    - url: s3://nothing-here/prefix/\n", shell("true"));
    let output = desk.run_text(&text, &["--json"]);
    let report = report(&output);
    assert_eq!(report["status"], "FAILED", "{report}");
    assert_eq!(report["tasks"][0]["code"], 2010, "{report}");
    let message = report["tasks"][0]["message"].as_str().unwrap();
    assert!(message.contains("s3://nothing-here/prefix/"), "{message}");
    assert_eq!(output.status.code(), Some(255));
}

#[test]
fn malformed_files_are_65_and_name_the_line() {
    for (text, words) in [
        ("workflow:\n  name: x\n  tasks: []\n", "at least one"),
        (&shell("true").replace("image", "imgae"), ":5:"),
        ("nonsense: 1\n", "nonsense"),
        ("workflow:\n  name: [\n", ":"),
        ("", "workflow"),
    ] {
        let desk = Desk::new();
        let output = desk.run_text(text, &[]);
        assert_eq!(output.status.code(), Some(65), "{text}: {}", said(&output));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.to_lowercase().contains(words), "no {words:?} in {stderr}");
    }
}

#[test]
fn keys_without_effect_warn_once_and_strict_refuses() {
    let text = shell("true").replace("    image", "    privileged: true\n    image");
    let desk = Desk::new();
    let output = desk.run_text(&text, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stderr).matches("privileged").count(), 1);
    let output = desk.run_text(&text, &["--strict"]);
    assert_eq!(output.status.code(), Some(65), "{}", said(&output));
}

#[test]
fn usage_is_64() {
    for args in [&["run"][..], &["run", "x", "--no-such-flag"], &["frobnicate"], &[]] {
        let output = PROGRAMS.command("osmo-controller", args).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{args:?}: {}", said(&output));
    }
}

#[test]
fn a_chain_ends_with_its_first_failure() {
    let desk = Desk::new();
    let text = r#"
workflow:
  name: chain
  tasks:
  - name: first
    image: busybox:1.36
    command: [sh, -c]
    args: ['exit 6']
  - name: second
    image: busybox:1.36
    command: [sh, -c]
    args: ['echo never; exit 9']
    inputs:
    - task: first
"#;
    let output = desk.run_text(text, &["--json"]);
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    let report = report(&output);
    assert_eq!(report["status"], "FAILED", "{report}");
    assert_eq!(report["tasks"].as_array().unwrap().len(), 1, "{report}");
    assert!(!said(&output).contains("[second]"), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("second"), "{}", said(&output));
}

#[test]
fn exit_actions_decide() {
    let action = |action: &str, script: &str| {
        shell(script).replace("    image", &format!("    exitActions: {{{action}}}\n    image"))
    };
    let desk = Desk::new();
    let output = desk.run_text(&action("COMPLETE: 3", "exit 3"), &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(report(&output)["status"], "COMPLETED");
    // Tried again, but not for ever.
    let desk = Desk::new();
    let output = desk.run_text(&action("RESCHEDULE: 4-5", "echo try; exit 4"), &[]);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(stdout.matches("[only] try").count(), 3, "{}", said(&output));
    assert!(!said(&output).contains("no effect"), "{}", said(&output));
}

#[test]
fn a_closed_standard_output_does_not_end_the_run() {
    let desk = Desk::new();
    let file = desk.state.path().join("workflow.yaml");
    fs::write(&file, shell("seq 1 20000; echo done > {{output}}/file; exit 5")).unwrap();
    let mut command = desk.command(&file, &[]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    desk.assert_clean();
}

#[test]
fn secrets_are_told_to_nobody() {
    const SECRET: &str = "an-ambient-secret-of-this-test";
    let desk = Desk::new();
    let script = "cat /osmo/login/config/config.yaml > {{output}}/config\nenv\nexit 3";
    let file = desk.state.path().join("workflow.yaml");
    fs::write(&file, format!("{}    outputs:\n    - url: s3://mine/out\n", shell(script))).unwrap();
    for more in [&["--keep"][..], &["--keep", "--json"]] {
        let output = desk
            .command(&file, more)
            .env("AWS_ACCESS_KEY_ID", "ambient")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_SESSION_TOKEN", SECRET)
            .env("RUST_LOG", "debug,s3s=debug,hyper=trace")
            .output()
            .unwrap();
        // The embedded store is not fooled by the user's own credentials.
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        let said = said(&output);
        assert!(!said.contains(SECRET), "{said}");
        let secrets = secrets_of(desk.work.path());
        for secret in &secrets {
            assert!(!said.contains(secret), "{said}");
        }
    }
}

/// The refresh tokens and secret keys of the kept trees.
fn secrets_of(work: &Path) -> Vec<String> {
    let mut secrets = Vec::new();
    for run in fs::read_dir(work).unwrap() {
        let tree = run.unwrap().path().join("only.0");
        secrets.push(fs::read_to_string(tree.join(".refresh_token")).unwrap());
        for name in ["user_config.yaml", "service_config.yaml"] {
            let config: Value =
                serde_json::from_slice(&fs::read(tree.join(name)).unwrap()).unwrap();
            let profiles = config["auth"]["data"].as_object().unwrap();
            secrets.extend(profiles.values().map(|one| one["access_key"].as_str().unwrap().into()));
        }
    }
    assert!(secrets.len() >= 3 && secrets.iter().all(|secret| secret.len() >= 32));
    secrets
}

#[test]
fn figures_are_uploaded_and_not_called_without_effect() {
    let desk = Desk::new();
    let text = format!(
        "{}    kpis:\n    - index: loss\n      path: figures/loss.json\n",
        shell("mkdir {{output}}/figures; echo '{}' > {{output}}/figures/loss.json")
    );
    let output = desk.run_text(&text, &["--strict"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("Uploaded KPI: figures/loss.json"), "{}", said(&output));
}

#[test]
fn a_data_set_that_cannot_be_used_is_65() {
    let desk = Desk::new();
    fs::write(desk.state.path().join("workflow.dataset.yaml"), "nonsense: [").unwrap();
    let output = desk.run_text(&shell("true"), &[]);
    assert_eq!(output.status.code(), Some(65), "{}", said(&output));
    assert!(said(&output).contains("workflow.dataset.yaml"), "{}", said(&output));
}
