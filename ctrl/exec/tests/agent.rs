//! The real program against a sidecar played by the test.
#![allow(clippy::unwrap_used)]

mod play;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use osmo_protocol::socket::Frame;
use play::{Agent, TRACE, WATCHDOG, binds_work, err, failed, out, skip, text};
use tempfile::TempDir;

#[test]
fn a_command_runs_and_ends() {
    let agent = Agent::shell("echo out; echo err >&2; printf 'ü\\r\\nlast'; echo $PATH >&2");
    let mut frames = agent.begin().rest();
    assert_eq!(frames.pop(), Some(Frame::ExecFinished));
    assert_eq!(text(&frames), "out\nü\nlast\n");
    assert!(frames.contains(&err("err")));
    let path = std::env::var("PATH").unwrap() + ":/osmo/usr/bin";
    assert!(frames.contains(&err(&path)), "{frames:?}");
    assert!(!agent.path("data/socket/handoff").exists());
    assert_eq!(fs::read_link(agent.path("output")).unwrap(), Path::new("data/output"));
    assert_eq!(agent.end(), (Some(0), String::new()));
}

#[test]
fn the_command_is_in_the_agent_s_trace() {
    let agent = Agent::shell("echo $TRACEPARENT");
    let frames = agent.begin().rest();
    assert_eq!(text(&frames), format!("{TRACE}\n"));
}

#[test]
fn codes_and_signals_are_told() {
    for (script, told, code) in [
        ("exit 3", "exit status 3", 3),
        ("exit 255", "exit status 255", 255),
        ("kill -9 $$", "exit status 137 (ended by signal 9 SIGKILL)", 137),
        ("kill -SEGV $$", "exit status 139 (ended by signal 11 SIGSEGV)", 139),
    ] {
        let agent = Agent::shell(script);
        assert_eq!(agent.begin().rest(), [failed(told, code)], "{script}");
        assert_eq!(agent.end().0, Some(code), "{script}");
    }
}

#[test]
fn a_command_that_cannot_start_is_explained() {
    let folder = TempDir::new().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, "x").unwrap();
    let script = folder.path().join("script");
    fs::write(&script, "#!/nope/sh\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&script, mode).unwrap();
    let (plain, script) = (plain.to_str().unwrap(), script.to_str().unwrap());
    for (program, code, reason) in [
        ("no-such-program-here", 127, "no such program in PATH"),
        ("/no/such/program", 127, "no such file in this image"),
        (script, 127, "its interpreter or loader is not in this image"),
        (plain, 126, "it is not executable (chmod +x may help)"),
        ("", 127, ""),
    ] {
        let agent = Agent::start(&["-commands", program]);
        let sentence = match reason {
            "" => "cannot start: no command was given (-commands)".to_owned(),
            reason => format!("cannot start `{program}`: {reason}"),
        };
        let want = [err(&sentence), failed(&format!("exit status {code}"), code)];
        assert_eq!(agent.begin().rest(), want);
        assert_eq!(agent.end().0, Some(code));
    }
}

#[test]
fn without_a_start_nothing_runs() {
    let agent = Agent::shell("echo never");
    let mut sidecar = agent.accept();
    // Without a newline, as the original sends it.
    sidecar.stream.write_all(br#"{"Type":"CtrlFailed"}"#).unwrap();
    assert_eq!(sidecar.rest(), []);
    assert_eq!(agent.end(), (Some(0), String::new()));

    let agent = Agent::start(&["-sidecarTimeout", "0", "-commands", "true"]);
    drop(agent.accept());
    let (code, told) = agent.end();
    assert_eq!(code, Some(2));
    assert!(told.ends_with("osmo-exec: the sidecar went away before the start\n"), "{told}");
}

#[test]
fn nobody_at_the_socket_is_told() {
    let (code, told) = Agent::start(&["-unixTimeout", "0", "-commands", "true"]).end();
    assert_eq!(code, Some(2));
    assert!(told.contains("did osmo-ctrl start"), "{told}");
}

#[test]
fn a_bad_command_line_is_told() {
    let (code, told) = Agent::start(&["-nope"]).end();
    assert_eq!(code, Some(2));
    assert!(told.contains("flag provided but not defined: -nope"), "{told}");
}

#[test]
fn many_lines_keep_their_order_against_a_slow_sidecar() {
    let agent = Agent::shell("seq 1 50000; echo x >&2");
    let mut sidecar = agent.begin();
    assert_eq!(sidecar.next(), Some(out("1")));
    // The sidecar reads nothing until the command waits for it.
    std::thread::sleep(Duration::from_millis(50));
    let mut frames = sidecar.rest();
    assert_eq!(frames.pop(), Some(Frame::ExecFinished));
    let want: String = (2..=50_000).map(|number| format!("{number}\n")).collect();
    assert!(text(&frames) == want);
    assert_eq!(agent.end().0, Some(0));
}

#[test]
fn descendants_that_hold_the_pipe_do_not_hold_the_task() {
    let agent = Agent::shell("sleep 1000 & echo $!; head -c 60000 /dev/zero | tr '\\0' a; echo");
    let frames = agent.begin().rest();
    assert_eq!(frames.last(), Some(&Frame::ExecFinished));
    let told = text(&frames);
    let (sleeper, rest) = told.split_once('\n').unwrap();
    assert_eq!(rest.bytes().filter(|&byte| byte == b'a').count(), 60_000);
    assert_eq!(agent.end().0, Some(0));
    let begin = Instant::now();
    let alive = || {
        fs::read_to_string(format!("/proc/{sleeper}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    };
    while alive() {
        assert!(begin.elapsed() < WATCHDOG, "the descendant was left running");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn stop_reaches_the_command() {
    let script = "trap 'echo saved; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let agent = Agent::shell(script);
    let mut sidecar = agent.begin();
    sidecar.wait_for("ready");
    sidecar.send(&Frame::Terminate { seconds: None });
    let frames = sidecar.rest();
    assert_eq!(text(&frames), "saved\n");
    assert_eq!(frames.last(), Some(&failed("exit status 7", 7)));
    assert_eq!(agent.end().0, Some(7));

    let agent = Agent::shell(script);
    let mut sidecar = agent.begin();
    sidecar.wait_for("ready");
    let killed = Command::new("sh")
        .args(["-c", "kill -TERM \"$0\"", &agent.child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    assert_eq!(sidecar.rest().last(), Some(&failed("exit status 7", 7)));
    assert_eq!(agent.end().0, Some(7));
}

/// Kubelet signals both containers, and the sidecar asks as well.
#[test]
fn an_eviction_asks_the_command_once() {
    let script = "trap 'echo asked' TERM; echo ready; until [ -e go ]; do sleep 0.01; done";
    for signal_first in [true, false] {
        let agent = Agent::shell(script);
        let mut sidecar = agent.begin();
        sidecar.wait_for("ready");
        let pid = agent.child.id().to_string();
        let signal = || {
            let killed = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &pid]).status();
            assert!(killed.unwrap().success());
        };
        let order = |sidecar: &mut play::Sidecar| {
            sidecar.send(&Frame::Terminate { seconds: Some(15) });
        };
        if signal_first {
            signal()
        } else {
            order(&mut sidecar)
        }
        sidecar.wait_for("asked");
        if signal_first {
            order(&mut sidecar)
        } else {
            signal()
        }
        // Long enough for a second one to be seen.
        std::thread::sleep(Duration::from_millis(300));
        fs::write(agent.path("go"), "").unwrap();
        assert_eq!(text(&sidecar.rest()), "");
        assert_eq!(agent.end().0, Some(0));
    }
}

#[test]
fn a_command_that_hears_no_stop_is_killed_when_its_time_is_over() {
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let agent = Agent::shell(script);
    let mut sidecar = agent.begin();
    sidecar.wait_for("ready");
    sidecar.send(&Frame::Terminate { seconds: Some(1) });
    let told = "exit status 137 (ended by signal 9 SIGKILL)";
    assert_eq!(sidecar.rest().last(), Some(&failed(told, 137)));
    assert_eq!(agent.end().0, Some(137));
}

#[test]
fn a_command_that_hears_no_stop_ends_with_its_sidecar() {
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let agent =
        Agent::start(&["-sidecarTimeout", "1", "-commands", "sh", "-args", "-c", "-args", script]);
    let mut sidecar = agent.begin();
    sidecar.wait_for("ready");
    sidecar.send(&Frame::Terminate { seconds: Some(3600) });
    drop(sidecar);
    assert_eq!(agent.end().0, Some(137));
}

#[test]
fn the_last_lines_of_a_filter_of_its_own_are_told() {
    let script = "exec > >(while read -r line; do sleep 0.1; echo \"log: $line\"; done) 2>&1; \
                  echo first; echo second >&2; exit 3";
    let agent = Agent::start(&["-commands", "bash", "-args", "-c", "-args", script]);
    let frames = agent.begin().rest();
    assert_eq!(text(&frames), "log: first\nlog: second\n");
    assert_eq!(frames.last(), Some(&failed("exit status 3", 3)));
    assert_eq!(agent.end().0, Some(3));
}

#[test]
fn the_command_outlives_the_sidecar() {
    let script = "echo ready; while [ ! -e go ]; do sleep 0.01; done; seq 3; exit 4";
    let agent =
        Agent::start(&["-sidecarTimeout", "1", "-commands", "sh", "-args", "-c", "-args", script]);
    let mut sidecar = agent.begin();
    sidecar.wait_for("ready");
    drop(sidecar);
    fs::write(agent.path("go"), "").unwrap();
    let (code, told) = agent.end();
    assert_eq!(code, Some(4));
    assert!(told.contains("the sidecar went away"), "{told}");
    assert!(told.contains("1\n2\n3\n"), "{told}");
}

#[test]
fn outputs_become_readable() {
    let script = "umask 077; mkdir data/output/d; echo x > data/output/d/f; ln -s f data/output/l";
    let agent = Agent::shell(script);
    agent.begin().rest();
    let modes = Command::new("stat")
        .args(["-c", "%a", "data/output/d", "data/output/d/f"])
        .current_dir(agent.root.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(modes.stdout).unwrap(), "755\n644\n");
    agent.end();
}

#[test]
fn binds_show_the_tree_at_its_place() {
    if !binds_work() {
        return;
    }
    let script = "cat /osmo/data/input/x && echo y > /osmo/data/output/y && id -u && pwd \
                  && /opt/job-of-a-test/count.sh";
    let agent = Agent::start(&[
        "-bind",
        ".:/osmo",
        "-bind",
        "count.sh:/opt/job-of-a-test/count.sh",
        "-commands",
        "bash",
        "-commands",
        "-c",
        "-args",
        script,
    ]);
    fs::write(agent.path("data/input/x"), "input\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(agent.path("count.sh"), mode).unwrap();
    let frames = agent.begin().rest();
    let own = Command::new("id").arg("-u").output().unwrap().stdout;
    let own = String::from_utf8(own).unwrap();
    let want = format!("input\n{own}/osmo\nbound\n");
    assert_eq!((text(&frames), frames.last()), (want, Some(&Frame::ExecFinished)), "{frames:?}");
    assert_eq!(fs::read_to_string(agent.path("data/output/y")).unwrap(), "y\n");
    assert!(!Path::new("/opt/job-of-a-test").exists());
    assert_eq!(agent.end().0, Some(0));
}

#[test]
fn a_bind_that_cannot_be_is_told() {
    let agent = Agent::start(&["-bind", "no-such-folder:/osmo", "-commands", "true"]);
    let frames = agent.begin().rest();
    assert_eq!(frames.last(), Some(&failed("exit status 125", 125)));
    assert!(matches!(&frames[0], Frame::MessageErr(line) if line.contains("no-such-folder")));
    assert_eq!(agent.end().0, Some(125));
}

/// Namespaces of its own, as a container has them.
const CONTAINER: [&str; 5] = ["unshare", "-r", "-p", "-f", "--mount-proc"];

#[test]
fn the_first_process_of_a_container_buries_everybody() {
    let works = Command::new(CONTAINER[0]).args(&CONTAINER[1..]).arg("true").output();
    if !works.is_ok_and(|output| output.status.success()) {
        return skip("unshare of process numbers is refused here");
    }
    let script = "echo $PPID; for i in 1 2 3; do sh -c 'sleep 0.05 &'; done; sleep 0.5; \
                  grep -l '^State:.Z' /proc/[0-9]*/status | wc -l; sleep 1000 & kill -TERM 1; wait";
    let args = ["-commands", "sh", "-commands", "-c", "-args", script];
    let agent = Agent::under(&CONTAINER, &args, |_| {});
    let mut frames = agent.begin().rest();
    let end = failed("exit status 143 (ended by signal 15 SIGTERM)", 143);
    assert_eq!(frames.pop(), Some(end), "{frames:?}");
    assert_eq!(text(&frames), "1\n0\n");
    assert_eq!(agent.end().0, Some(143));
}
