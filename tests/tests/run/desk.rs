//! Where runs of a test happen, and how their results are read.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use osmo_tests::program::Programs;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

/// One state folder and one folder for trees.
pub(crate) struct Desk {
    pub(crate) state: TempDir,
    pub(crate) work: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { state: TempDir::new().unwrap(), work: TempDir::new().unwrap() }
    }

    pub(crate) fn run(&self, file: &Path, more: &[&str]) -> Output {
        self.command(file, more).output().unwrap()
    }

    pub(crate) fn command(&self, file: &Path, more: &[&str]) -> Command {
        let mut command = PROGRAMS.command("osmo-controller", ["run"]);
        command.arg(file).arg("--state").arg(self.state.path());
        command.arg("--work").arg(self.work.path()).args(more);
        command
    }

    /// Starts a workflow whose command says `ready`, and waits for that.
    pub(crate) fn start_text(&self, text: &str, more: &[&str]) -> Child {
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
    pub(crate) fn processes(&self) -> Vec<String> {
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
    pub(crate) fn assert_nobody_left(&self) {
        self.wait_until(<[String]>::is_empty);
    }

    pub(crate) fn wait_until(&self, is_so: impl Fn(&[String]) -> bool) {
        let watchdog = Instant::now() + Duration::from_secs(60);
        while !is_so(&self.processes()) {
            assert!(Instant::now() < watchdog, "these are there: {:?}", self.processes());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a workflow given as text.
    pub(crate) fn run_text(&self, text: &str, more: &[&str]) -> Output {
        let file = self.state.path().join("workflow.yaml");
        fs::write(&file, text).unwrap();
        self.run(&file, more)
    }

    /// Nothing of a task's tree is left.
    pub(crate) fn assert_clean(&self) {
        let left: Vec<_> =
            fs::read_dir(self.work.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

pub(crate) fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {}", said(output)))
}

/// One task that runs `script` in `sh`.
pub(crate) fn shell(script: &str) -> String {
    format!(
        "workflow:\n  name: one\n  tasks:\n  - name: only\n    image: busybox:1.36\n    \
         command: [sh, -c]\n    args:\n    - |\n      {}\n",
        script.replace('\n', "\n      ")
    )
}
