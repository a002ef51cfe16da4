//! An agent that is told to go at once, or is killed: nobody stays.
#![allow(clippy::unwrap_used)]

mod play;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use osmo_protocol::socket::Frame;
use play::{Agent, WATCHDOG, failed};

/// Leaves processes in its group and in sessions of their own.
const LINGERING: &str = "(sleep 86398 &); setsid sh -c 'sleep 86398; :' & \
    setsid setsid sleep 86398 & echo ready; sleep 86398; :";

fn kill(agent: &Agent, signal: &str) {
    let pid = agent.child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

/// The command lines of living processes in this agent's folder.
fn living(folder: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    all.filter(|process| {
        fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
    })
    .filter_map(|process| fs::read_to_string(process.join("cmdline")).ok())
    .filter(|line| !line.is_empty())
    .collect()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < WATCHDOG, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn folder(agent: &Agent) -> String {
    agent.root.path().canonicalize().unwrap().to_str().unwrap().to_owned()
}

fn lingering() -> (Agent, play::Sidecar, String) {
    let args = ["-sidecarTimeout", "600", "-commands", "sh", "-commands", "-c", "-args", LINGERING];
    let agent = Agent::start(&args);
    let mut sidecar = agent.begin();
    sidecar.wait_for("ready");
    let folder = folder(&agent);
    wait_until("all four linger", || {
        living(&folder).iter().filter(|line| line.starts_with("sleep\x0086398")).count() == 4
    });
    (agent, sidecar, folder)
}

/// Hangs up on the agent: it tells how its command ended, and nobody stays.
fn assert_told_and_gone((agent, mut sidecar, folder): (Agent, play::Sidecar, String)) {
    kill(&agent, "-HUP");
    let told = "exit status 137 (ended by signal 9 SIGKILL)";
    assert_eq!(sidecar.rest().last(), Some(&failed(told, 137)));
    assert_eq!(agent.end().0, Some(137));
    assert_eq!(living(&folder), [""; 0]);
}

#[test]
fn a_hang_up_is_told_and_leaves_nobody() {
    assert_told_and_gone(lingering());
}

#[test]
fn a_hang_up_waits_for_no_sidecar() {
    for is_reading in [true, false] {
        let (agent, sidecar, folder) = lingering();
        // Either gone for good, or connected and deaf.
        let held = match is_reading {
            true => {
                fs::remove_file(agent.path("data/socket/data.sock")).unwrap();
                drop(sidecar);
                None
            }
            false => Some(sidecar),
        };
        kill(&agent, "-HUP");
        wait_until("the processes end", || living(&folder).len() <= 1);
        // Its own limits are 600 s and 5 s.
        assert_eq!(agent.end().0, Some(137));
        assert_eq!(living(&folder), [""; 0]);
        drop(held);
    }
}

#[test]
fn a_hang_up_ends_a_stopped_command_s_task() {
    let agent = Agent::shell("echo ready; sleep 86398");
    let mut sidecar = agent.begin();
    sidecar.wait_for("ready");
    sidecar.send(&Frame::UserStop);
    assert_eq!(sidecar.next(), Some(Frame::UserStopFinished));
    kill(&agent, "-HUP");
    assert_eq!(sidecar.rest(), [failed("exit status 129 (ended by signal 1 SIGHUP)", 129)]);
    assert_eq!(agent.end().0, Some(129));
}

/// An `osmo` that says that it began, and does not end.
fn slow_osmo(root: &std::path::Path) {
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("ck")).unwrap();
    fs::write(root.join("ck/file"), "x").unwrap();
    let osmo = root.join("bin/osmo");
    fs::write(&osmo, "#!/bin/sh\necho begun\nsleep 86397 & sleep 86397; :\n").unwrap();
    fs::set_permissions(osmo, fs::Permissions::from_mode(0o755)).unwrap();
}

fn uploading() -> (Agent, play::Sidecar, String) {
    let args = ["-userBinPath", "bin", "-checkpoint", "ck;s3://b;1;", "-commands", "sleep"];
    let agent = Agent::prepared(&[&args[..], &["-args", "99"]].concat(), slow_osmo);
    let mut sidecar = agent.begin();
    while sidecar.next() != Some(Frame::MessageOps("begun".into())) {}
    let folder = folder(&agent);
    wait_until("the upload's children", || {
        living(&folder).iter().filter(|line| line.starts_with("sleep\x0086397")).count() == 2
    });
    (agent, sidecar, folder)
}

#[test]
fn an_upload_ends_with_a_hang_up() {
    assert_told_and_gone(uploading());
}

#[test]
fn an_upload_ends_with_a_killed_agent() {
    let (agent, sidecar, folder) = uploading();
    let pid = agent.child.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    kill(&agent, "-KILL");
    assert_eq!(agent.end().0, None);
    // The command itself is the container's to end.
    let is_upload = |line: &String| line.contains("86397") || line.contains("guard");
    wait_until("the upload ends", || !living(&folder).iter().any(is_upload));
    let _ = Command::new("kill").arg("-KILL").args(children.split_whitespace()).output();
    drop(sidecar);
}

#[test]
fn a_last_checkpoint_has_the_time_that_is_left() {
    let (agent, mut sidecar, folder) = uploading();
    sidecar.send(&Frame::Terminate { seconds: Some(2) });
    let frames = sidecar.rest();
    let late = "Checkpointing did not finish before the task had to end";
    assert!(frames.contains(&Frame::MessageOps(late.into())), "{frames:?}");
    let told = "exit status 143 (ended by signal 15 SIGTERM)";
    assert_eq!(frames.last(), Some(&failed(told, 143)));
    assert_eq!(agent.end().0, Some(143));
    assert_eq!(living(&folder), [""; 0]);
}

#[test]
fn a_checkpoint_behind_a_link_names_what_it_leads_to() {
    let script = "while [ $(grep -c . log) != 1 ]; do sleep 0.01; done; echo 2 >real/two; \
                  while [ $(grep -c . log) != 2 ]; do sleep 0.01; done";
    let args = ["-userBinPath", "bin", "-checkpoint", "link;s3://b;1;", "-commands", "sh"];
    let agent = Agent::prepared(&[&args[..], &["-args", "-c", "-args", script]].concat(), |root| {
        slow_osmo(root);
        fs::write(root.join("bin/osmo"), "#!/bin/sh\necho \"$@\" >>log\n").unwrap();
        fs::write(root.join("log"), "").unwrap();
        fs::create_dir(root.join("real")).unwrap();
        fs::write(root.join("real/one"), "1").unwrap();
        std::os::unix::fs::symlink("real", root.join("link")).unwrap();
    });
    assert_eq!(agent.begin().rest().last(), Some(&Frame::ExecFinished));
    let log = fs::read_to_string(agent.path("log")).unwrap();
    let real = format!("{}/real", folder(&agent));
    let want = format!("data upload s3://b {real}\ndata upload s3://b {real} --include=real/two\n");
    assert_eq!(log, want);
    assert_eq!(agent.end().0, Some(0));
}

#[test]
fn what_is_started_inherits_nothing_of_the_agent() {
    let look = "(ls /proc/self/fd | tr '\\n' ' '; grep SigBlk /proc/self/status)";
    let program = format!("#!/bin/sh\n{look} >told.new; mv told.new told\n");
    let script = "./look; mv told first; while [ ! -s told ]; do sleep 0.01; done";
    let args = ["-userBinPath", "bin", "-enableRsync", "-rsyncPort", "0", "-runLocation", "run"];
    let more = ["-checkpoint", "ck;s3://b;1;", "-commands", "sh", "-args", "-c", "-args", script];
    let agent = Agent::prepared(&[&args[..], &more].concat(), |root| {
        slow_osmo(root);
        fs::write(root.join("bin/osmo"), &program).unwrap();
        fs::copy(root.join("bin/osmo"), root.join("look")).unwrap();
    });
    // As a child of the test has it, to whom somebody may have left more.
    let alone = agent.path("alone");
    fs::create_dir(&alone).unwrap();
    let ran = Command::new("../look").current_dir(&alone).stdin(Stdio::null()).output();
    assert!(ran.unwrap().status.success());
    let want = fs::read_to_string(alone.join("told")).unwrap();
    assert!(want.ends_with("SigBlk:\t0000000000000000\n"), "{want}");
    assert_eq!(agent.begin().rest().last(), Some(&Frame::ExecFinished));
    for told in ["first", "told"] {
        assert_eq!(fs::read_to_string(agent.path(told)).unwrap(), want, "{told}");
    }
    assert_eq!(agent.end().0, Some(0));
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let script = "echo first; while [ ! -e go ]; do sleep 0.01; done; \
                  yes 0123456789 | head -n 60000; : > done; while [ ! -e end ]; do sleep 0.01; done";
    let args = ["-sidecarTimeout", "1", "-commands", "sh", "-args", "-c", "-args", script];
    let agent = Agent::start(&args);
    let mut sidecar = agent.begin();
    sidecar.wait_for("first");
    fs::remove_file(agent.path("data/socket/data.sock")).unwrap();
    drop(sidecar);
    fs::write(agent.path("go"), "").unwrap();
    // More than pipe, queue and store hold: the rest is dropped, and counted.
    wait_until("the command is blocked", || agent.path("done").exists());
    let mut sidecar = agent.accept();
    fs::write(agent.path("end"), "").unwrap();
    let frames = sidecar.rest();
    assert_eq!(frames.last(), Some(&Frame::ExecFinished));
    let kept = play::text(&frames).lines().count();
    assert!((1..60_000).contains(&kept), "{kept}");
    assert_eq!(agent.end().0, Some(0));
}
