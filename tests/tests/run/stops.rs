//! Runs that are stopped, from outside or by their own time limit.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Child;

use crate::desk::{Desk, report, said, shell};

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

pub(crate) fn signal(child: &Child, signal: rustix::process::Signal) {
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
