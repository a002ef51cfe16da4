//! Checkpoints by the real agent and the real `osmo` into the embedded store.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use osmo_controller::store::Object;
use osmo_protocol::socket::{Decoder, Frame};
use osmo_tests::program::Programs;
use osmo_tests::store::TestStore;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_osmo-under-test");

/// Far beyond what any step takes.
const WATCHDOG: Duration = Duration::from_secs(120);

/// A user container with its sidecar's end of the socket, and a store.
struct Pod {
    root: TempDir,
    store: TestStore,
    agent: Child,
    stream: UnixStream,
}

impl Pod {
    /// The command runs `script` in the folder that is saved, `ck`.
    fn start(script: &str, checkpoints: &[&str]) -> Self {
        let root = TempDir::new().unwrap();
        let path = |name: &str| root.path().join(name);
        for name in ["bin", "ck", "config"] {
            fs::create_dir(path(name)).unwrap();
        }
        symlink(PROGRAM, path("bin/osmo")).unwrap();
        let store = TestStore::start("bkt").unwrap();
        let config = store.access().config_yaml(["bkt", "none"]);
        fs::write(path("config/config.yaml"), config).unwrap();
        let listener = UnixListener::bind(path("sock")).unwrap();
        let mut command = Programs(PROGRAM).command("osmo-exec", ["-socketPath"]);
        command.arg(path("sock")).arg("-userBinPath").arg(path("bin"));
        command.env("OSMO_CONFIG_FILE_DIR", path("config"));
        for checkpoint in checkpoints {
            command.arg("-checkpoint").arg(format!("{};{checkpoint}", path("ck").display()));
        }
        command.args(["-commands", "sh", "-args", "-c", "-args", script]);
        command.current_dir(path("ck"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let agent = command.spawn().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        let start = Frame::ExecStart { output_folder: format!("{}/", root.path().display()) };
        stream.write_all(&start.encode()).unwrap();
        Self { root, store, agent, stream }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn object(&self, key: &str) -> Option<Arc<Object>> {
        self.store.files().bucket("bkt").unwrap().get(key).ok()
    }

    /// The object at `key`, once it is there and `is` holds.
    fn wait_for(&self, key: &str, is: impl Fn(&Arc<Object>) -> bool) -> Arc<Object> {
        let begun = Instant::now();
        loop {
            match self.object(key).filter(&is) {
                Some(object) => return object,
                None => assert!(begun.elapsed() < WATCHDOG, "no {key} in the store"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything told until the agent is gone.
    fn rest(&mut self) -> Vec<Frame> {
        let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
        let mut frames = Vec::new();
        loop {
            match self.stream.read(&mut buffer).unwrap() {
                0 => break,
                count => decoder.push(&buffer[..count]),
            }
            while let Some(frame) = decoder.frame().unwrap() {
                frames.push(frame);
            }
        }
        self.agent.wait().unwrap();
        frames
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

fn told(frames: &[Frame], what: &str) -> bool {
    frames.iter().any(|frame| matches!(frame, Frame::MessageOps(line) if line.contains(what)))
}

#[test]
fn only_what_changed_is_sent_again_and_a_failure_costs_a_line() {
    let script = "until [ -e ../over ]; do sleep 0.05; done; echo last >last; exit 3";
    let mut pod =
        Pod::start(script, &["s3://bkt/p;1;", "s3://none/p;1;", "s3://bkt/log;1;.*\\.log$"]);
    fs::create_dir(pod.path("ck/sub")).unwrap();
    fs::write(pod.path("ck/sub/a b*[x]"), "one").unwrap();
    fs::write(pod.path("ck/x.log"), "one").unwrap();
    // The key that the contract's example of a path gives.
    let first = pod.wait_for("p/ck/sub/a b*[x]", |_| true);
    fs::write(pod.path("ck/b"), "two").unwrap();
    let second = pod.wait_for("p/ck/b", |_| true);
    fs::write(pod.path("ck/b"), "three").unwrap();
    pod.wait_for("p/ck/b", |now| !Arc::ptr_eq(now, &second) && now.info.size == 5);
    let now = pod.object("p/ck/sub/a b*[x]").unwrap();
    assert!(Arc::ptr_eq(&first, &now), "what had not changed was sent again");
    fs::write(pod.path("ck/sub/a b*[x]"), "four").unwrap();
    pod.wait_for("p/ck/sub/a b*[x]", |now| !Arc::ptr_eq(now, &first));
    fs::write(pod.path("over"), "").unwrap();
    let frames = pod.rest();
    assert!(matches!(frames.last(), Some(Frame::ExecFailed { code: Some(3), .. })), "{frames:?}");
    assert!(pod.object("p/ck/last").is_some(), "the last round is told before the end");
    assert!(pod.object("log/ck/x.log").is_some() && pod.object("log/ck/b").is_none());
    assert!(told(&frames, "s3://none/p failed"), "{frames:?}");
    assert!(told(&frames, "to s3://bkt/p finished") && !told(&frames, "s3://none/p finished"));
}

#[test]
fn sigterm_leaves_time_for_a_last_round() {
    let script = "trap 'echo saved >saved; exit 0' TERM; echo begun >begun; \
                  while :; do sleep 0.05; done";
    let mut pod = Pod::start(script, &["s3://bkt/p;3600;"]);
    let begun = Instant::now();
    while !pod.path("ck/begun").exists() {
        assert!(begun.elapsed() < WATCHDOG, "the command does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(pod.object("p/ck/begun").is_none(), "its time has not come");
    let agent = rustix::process::Pid::from_child(&pod.agent);
    rustix::process::kill_process(agent, rustix::process::Signal::TERM).unwrap();
    let frames = pod.rest();
    assert_eq!(frames.last(), Some(&Frame::ExecFinished), "{frames:?}");
    assert!(pod.object("p/ck/saved").is_some() && pod.object("p/ck/begun").is_some());
    assert!(told(&frames, "to s3://bkt/p finished"), "{frames:?}");
}
