//! The real program, and a sidecar played by the test.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod term;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use osmo_protocol::socket::{AgentState, Decoder, Frame};
use tempfile::TempDir;

/// The example of W3C Trace Context.
pub(crate) const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Generous: a machine under load must not fail a test.
pub const WATCHDOG: Duration = Duration::from_secs(60);

/// What `osmo-init` left beside the socket.
pub const TOKEN: &str = "0123456789abcdef";

/// An agent and the folder it lives in.
pub struct Agent {
    pub root: TempDir,
    pub child: Child,
}

/// The test's end of the socket.
pub struct Sidecar {
    pub stream: UnixStream,
    pub decoder: Decoder,
    /// For further connections.
    pub listener: UnixListener,
    /// What the agent said about the command.
    pub state: AgentState,
}

impl Agent {
    /// Starts the agent; the sidecar need not listen yet.
    pub fn start(args: &[&str]) -> Self {
        Self::prepared(args, |_| {})
    }

    /// The same in a folder that `prepare` has seen.
    pub fn prepared(args: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        Self::under(&[], args, prepare)
    }

    /// The same as the last words of `runner`'s command line.
    pub fn under(runner: &[&str], args: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let root = TempDir::new().unwrap();
        for name in ["data/socket", "data/output", "data/input"] {
            fs::create_dir_all(root.path().join(name)).unwrap();
        }
        fs::write(root.path().join("data/socket/handoff"), TOKEN).unwrap();
        fs::write(root.path().join("count.sh"), "#!/bin/sh\necho bound\n").unwrap();
        prepare(root.path());
        let own = [runner, &[env!("CARGO_BIN_EXE_osmo-exec")]].concat();
        let child = Command::new(own[0])
            .args(&own[1..])
            .args(["-socketPath", "data/socket/data.sock", "-userBinPath", "/osmo/usr/bin"])
            .args(["-historyFilePath", "history", "-cliAutoCompleteScriptPath", "complete.bash"])
            .args(args)
            .current_dir(root.path())
            .env("TRACEPARENT", TRACE)
            .env("HOME", root.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { root, child }
    }

    pub fn shell(script: &str) -> Self {
        Self::start(&["-commands", "sh", "-commands", "-c", "-args", script])
    }

    /// Listens, and takes the agent's greeting.
    pub fn accept(&self) -> Sidecar {
        Sidecar::greet(UnixListener::bind(self.path("data/socket/data.sock")).unwrap())
    }

    /// A sidecar that was started again, after `old` is gone.
    pub fn accept_again(&self, old: Sidecar) -> Sidecar {
        drop(old);
        let _ = fs::remove_file(self.path("data/socket/data.sock"));
        self.accept()
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    /// Accepts and starts the command.
    pub fn begin(&self) -> Sidecar {
        let mut sidecar = self.accept();
        let output_folder = self.path("data/output/").to_str().unwrap().to_owned();
        sidecar.send(&Frame::ExecStart { output_folder });
        sidecar
    }

    /// Waits for the end; the code, and what the agent said on its own log.
    pub fn end(mut self) -> (Option<i32>, String) {
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
    fn greet(listener: UnixListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        let (decoder, state) = (Decoder::default(), AgentState::Waiting);
        let mut sidecar = Self { stream, decoder, listener, state };
        assert_eq!(sidecar.next(), Some(Frame::Hello { token: TOKEN.into(), session: None }));
        match sidecar.next() {
            Some(Frame::State { state }) => sidecar.state = state,
            other => panic!("{other:?}"),
        }
        sidecar
    }

    pub fn send(&mut self, frame: &Frame) {
        self.stream.write_all(&frame.encode()).unwrap();
    }

    pub fn next(&mut self) -> Option<Frame> {
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

    pub fn rest(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.next()).collect()
    }

    pub fn wait_for(&mut self, line: &str) {
        while self.next().expect("the line comes before the end") != out(line) {}
    }
}

pub fn out(line: &str) -> Frame {
    Frame::MessageOut(line.into())
}

pub fn err(line: &str) -> Frame {
    Frame::MessageErr(line.into())
}

pub fn failed(told: &str, code: i32) -> Frame {
    Frame::ExecFailed { message: format!("Command failed with error: {told}\n"), code: Some(code) }
}

/// The stdout text of `frames`, as the command wrote it.
pub fn text(frames: &[Frame]) -> String {
    let lines = frames.iter().filter_map(|frame| match frame {
        Frame::MessageOut(line) => Some(format!("{line}\n")),
        _ => None,
    });
    lines.collect()
}

/// Says why a test cannot run here; fails instead under `OSMO_TEST_STRICT`.
#[allow(clippy::print_stderr)]
pub fn skip(reason: &str) {
    assert!(std::env::var_os("OSMO_TEST_STRICT").is_none(), "skipped under strict: {reason}");
    eprintln!("skipped: {reason}");
}

/// Whether `-bind` works here; says why not.
pub fn binds_work() -> bool {
    let probe = Command::new(env!("CARGO_BIN_EXE_osmo-exec"))
        .args(["--osmo-exec-stage", "--probe"])
        .output()
        .unwrap();
    if !probe.status.success() {
        let told = String::from_utf8_lossy(&probe.stderr);
        assert_eq!(probe.status.code(), Some(125), "{told}");
        skip(&told);
    }
    probe.status.success()
}
