//! `osmo-controller run`: whole task pods, real processes, from the workflow
//! file to the exit status.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use osmo_tests::program::Programs;
use osmo_tests::under_both_drivers;
use serde_json::Value;
use tempfile::TempDir;

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

under_both_drivers!(hello_ends_well, a_chain_hands_its_data_on, the_example_stays_small);

/// One state folder and one folder for trees.
struct Desk {
    state: TempDir,
    work: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { state: TempDir::new().unwrap(), work: TempDir::new().unwrap() }
    }

    fn run(&self, file: &Path, more: &[&str]) -> Output {
        self.command(file, more).output().unwrap()
    }

    fn command(&self, file: &Path, more: &[&str]) -> Command {
        let mut command = PROGRAMS.command("osmo-controller", ["run"]);
        command.arg(file).arg("--state").arg(self.state.path());
        command.arg("--work").arg(self.work.path()).args(more);
        command
    }

    /// Starts a workflow whose command says `ready`, and waits for that.
    fn start_text(&self, text: &str, more: &[&str]) -> Child {
        let file = self.state.path().join("workflow.yaml");
        fs::write(&file, text).unwrap();
        let mut command = self.command(&file, more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line != "[only] ready\n" {
            line.clear();
            if stdout.read_line(&mut line).unwrap() == 0 {
                let mut stderr = String::new();
                child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
                panic!("the command was never ready: {stderr}");
            }
        }
        child.stdout = Some(stdout.into_inner());
        child
    }

    /// Command lines of processes that name this desk's trees, there or in
    /// their environment, which every descendant inherits.
    fn processes(&self) -> Vec<String> {
        let work = self.work.path().display().to_string();
        let read = |folder: &Path, name: &str| {
            let bytes = fs::read(folder.join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        all.map(|folder| (read(&folder, "cmdline"), read(&folder, "environ")))
            .filter(|(line, environment)| line.contains(&work) || environment.contains(&work))
            .map(|(line, _)| line)
            .collect()
    }

    /// Waits until nothing of a run is left.
    fn assert_nobody_left(&self) {
        self.wait_until(<[String]>::is_empty);
    }

    fn wait_until(&self, is_so: impl Fn(&[String]) -> bool) {
        let watchdog = Instant::now() + Duration::from_secs(60);
        while !is_so(&self.processes()) {
            assert!(Instant::now() < watchdog, "these are there: {:?}", self.processes());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a workflow given as text.
    fn run_text(&self, text: &str, more: &[&str]) -> Output {
        let file = self.state.path().join("workflow.yaml");
        fs::write(&file, text).unwrap();
        self.run(&file, more)
    }

    /// Nothing of a task's tree is left.
    fn assert_clean(&self) {
        let left: Vec<_> =
            fs::read_dir(self.work.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

fn said(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {}", said(output)))
}

/// One task that runs `script` in `sh`.
fn shell(script: &str) -> String {
    format!(
        "workflow:\n  name: one\n  tasks:\n  - name: only\n    image: busybox:1.36\n    \
         command: [sh, -c]\n    args:\n    - |\n      {}\n",
        script.replace('\n', "\n      ")
    )
}

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

/// A command that says `ready` once it has written a file and left processes in
/// its group and outside; then it waits.
const LINGERING: &str = "echo text > {{output}}/file\n\
    (sleep 86399 &)\n\
    setsid sh -c 'sleep 86399; :' &\n\
    echo ready\n\
    sleep 86399; :";

fn lingering(desk: &Desk) -> (String, [String; 2]) {
    let mark = format!("OSMO_TEST_MARK={}", desk.work.path().display());
    (shell(LINGERING), ["--set-env".to_owned(), mark])
}

#[test]
fn an_interrupt_saves_what_is_there_and_leaves_nobody() {
    let desk = Desk::new();
    let (text, mark) = lingering(&desk);
    let child = desk.start_text(&text, &[&mark[0], &mark[1]]);
    signal(&child, rustix::process::Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("FAILED_CANCELED"), "{}", said(&output));
    let uploaded = stdout.lines().find(|line| line.trim_start().starts_with("upload")).unwrap();
    assert!(uploaded.split_whitespace().any(|word| word == "1"), "{uploaded}");
    desk.assert_nobody_left();
    desk.assert_clean();
}

#[test]
fn a_second_interrupt_does_not_wait_for_the_command() {
    let desk = Desk::new();
    let text = shell("trap 'echo heard' TERM\necho ready\nwhile :; do sleep 0.1; done");
    let mut child = desk.start_text(&text, &[]);
    signal(&child, rustix::process::Signal::INT);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while line != "[only] heard\n" {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "the command was not told");
    }
    signal(&child, rustix::process::Signal::INT);
    child.stdout = Some(stdout.into_inner());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    desk.assert_nobody_left();
}

#[test]
fn nothing_outlives_a_runner_that_is_killed() {
    let desk = Desk::new();
    let (text, mark) = lingering(&desk);
    let mut child = desk.start_text(&text, &[&mark[0], &mark[1]]);
    desk.wait_until(|lines| lines.iter().filter(|line| line.starts_with("sleep")).count() == 3);
    child.kill().unwrap();
    child.wait().unwrap();
    desk.assert_nobody_left();
}

#[test]
fn a_sidecar_or_an_agent_that_is_killed_is_told_and_leaves_nobody() {
    for (role, code) in [("osmo-ctrl", 2137), ("osmo-exec", 2023)] {
        let desk = Desk::new();
        let (text, mark) = lingering(&desk);
        let child = desk.start_text(&text, &[&mark[0], &mark[1]]);
        let pid = child_called(&child, role);
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(255), "{}", said(&output));
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(stdout.contains(&format!("(code {code})")), "{}", said(&output));
        assert!(stdout.contains("ended early") || stdout.contains("killed"), "{stdout}");
        desk.assert_nobody_left();
        desk.assert_clean();
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// The child process of `runner` whose name is `role`.
fn child_called(runner: &Child, role: &str) -> rustix::process::Pid {
    let list = format!("/proc/{0}/task/{0}/children", runner.id());
    let children = fs::read_to_string(list).unwrap();
    let of_role = |pid: &&str| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split('\0').next() == Some(role)
    };
    let pid = children.split_whitespace().find(of_role).unwrap();
    rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap()
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
fn the_timeout_of_the_workflow_stops_its_command() {
    let desk = Desk::new();
    let text = shell("echo kept > {{output}}/file; exec sleep 86399")
        .replace("  tasks:", "  timeout: {exec_timeout: 1s}\n  tasks:");
    let output = desk.run_text(&text, &["--json"]);
    assert_eq!(output.status.code(), Some(128 + 15), "{}", said(&output));
    let report = report(&output);
    assert_eq!(report["status"], "FAILED_EXEC_TIMEOUT", "{report}");
    let phases = report["tasks"][0]["sidecar"]["phases"].as_array().unwrap();
    assert!(phases.iter().any(|phase| phase["phase"] == "upload" && phase["files"] == 1));
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

#[test]
fn a_state_folder_in_use_names_the_remedy() {
    let desk = Desk::new();
    let child = desk.start_text(&shell("echo ready; exec sleep 86399"), &[]);
    let output = desk.run_text(&shell("true"), &[]);
    signal(&child, rustix::process::Signal::INT);
    child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(said(&output).contains("--state"), "{}", said(&output));
}

#[test]
fn a_path_too_long_for_a_socket_names_the_remedy() {
    let mut desk = Desk::new();
    desk.work = tempfile::Builder::new().prefix(&"l".repeat(100)).tempdir().unwrap();
    let output = desk.run_text(&shell("true"), &[]);
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(said(&output).contains("--work"), "{}", said(&output));
    desk.assert_clean();
}

#[test]
fn a_memory_size_reaches_the_sidecar() {
    let desk = Desk::new();
    let text = shell("echo text > {{output}}/file");
    let output = desk.run_text(&text, &["--memory", "4MiB"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let output = desk.run_text(&text, &["--memory", "lots"]);
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
}
