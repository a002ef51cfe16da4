//! The real program against a sidecar played by the test.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use osmo_protocol::socket::{Decoder, Frame};
use tempfile::TempDir;

/// Generous: a machine under load must not fail a test.
const WATCHDOG: Duration = Duration::from_secs(60);

/// The example of W3C Trace Context.
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// An agent and the folder it lives in.
struct Agent {
    root: TempDir,
    child: Child,
}

/// The test's end of the socket.
struct Sidecar {
    stream: UnixStream,
    decoder: Decoder,
}

impl Agent {
    /// Starts the agent; the sidecar need not listen yet.
    fn start(args: &[&str]) -> Self {
        let root = TempDir::new().unwrap();
        for name in ["data/socket", "data/output", "data/input"] {
            fs::create_dir_all(root.path().join(name)).unwrap();
        }
        fs::write(root.path().join("data/socket/handoff"), "0123456789abcdef").unwrap();
        fs::write(root.path().join("count.sh"), "#!/bin/sh\necho bound\n").unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_osmo-exec"))
            .args(["-socketPath", "data/socket/data.sock", "-userBinPath", "/osmo/usr/bin"])
            .args(args)
            .current_dir(root.path())
            .env("TRACEPARENT", TRACE)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { root, child }
    }

    fn shell(script: &str) -> Self {
        Self::start(&["-commands", "sh", "-commands", "-c", "-args", script])
    }

    /// Listens, and takes the agent's greeting.
    fn accept(&self) -> Sidecar {
        let listener = UnixListener::bind(self.path("data/socket/data.sock")).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        let mut sidecar = Sidecar { stream, decoder: Decoder::default() };
        assert_eq!(
            sidecar.next(),
            Some(Frame::Hello { token: "0123456789abcdef".into(), session: None })
        );
        sidecar
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    /// Accepts and starts the command.
    fn begin(&self) -> Sidecar {
        let mut sidecar = self.accept();
        let output_folder = self.path("data/output/").to_str().unwrap().to_owned();
        sidecar.send(&Frame::ExecStart { output_folder });
        sidecar
    }

    /// Waits for the end; the code, and what the agent said on its own log.
    fn end(mut self) -> (Option<i32>, String) {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > WATCHDOG {
                let _ = self.child.kill();
                panic!("the agent does not end");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let mut told = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        (status.code(), told)
    }
}

impl Sidecar {
    fn send(&mut self, frame: &Frame) {
        self.stream.write_all(&frame.encode()).unwrap();
    }

    fn next(&mut self) -> Option<Frame> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.frame().unwrap() {
                return Some(frame);
            }
            match self.stream.read(&mut buffer).unwrap() {
                0 => return None,
                count => self.decoder.push(&buffer[..count]),
            }
        }
    }

    fn rest(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.next()).collect()
    }

    fn wait_for(&mut self, line: &str) {
        while self.next().expect("the line comes before the end") != out(line) {}
    }
}

fn out(line: &str) -> Frame {
    Frame::MessageOut(line.into())
}

fn err(line: &str) -> Frame {
    Frame::MessageErr(line.into())
}

fn failed(told: &str, code: i32) -> Frame {
    Frame::ExecFailed { message: format!("Command failed with error: {told}\n"), code: Some(code) }
}

/// The stdout text of `frames`, as the command wrote it.
fn text(frames: &[Frame]) -> String {
    let lines = frames.iter().filter_map(|frame| match frame {
        Frame::MessageOut(line) => Some(format!("{line}\n")),
        _ => None,
    });
    lines.collect()
}

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

    let agent = Agent::shell("echo never");
    drop(agent.accept());
    let told = "osmo-exec: the sidecar went away before the start\n";
    assert_eq!(agent.end(), (Some(2), told.into()));
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
    sidecar.send(&Frame::Terminate);
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

#[test]
fn the_command_outlives_the_sidecar() {
    let agent = Agent::shell("echo ready; while [ ! -e go ]; do sleep 0.01; done; seq 3; exit 4");
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
    let probe = Command::new(env!("CARGO_BIN_EXE_osmo-exec"))
        .args(["--osmo-exec-stage", "--probe"])
        .output()
        .unwrap();
    if !probe.status.success() {
        let told = String::from_utf8_lossy(&probe.stderr);
        assert_eq!(probe.status.code(), Some(125), "{told}");
        assert!(std::env::var_os("OSMO_TEST_STRICT").is_none(), "{told}");
        eprintln!("skipped: {told}");
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
