//! The reporting program with a stub for NVML.

#![allow(clippy::unwrap_used, dead_code)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A folder with one profile in it.
pub(crate) struct Node {
    folder: tempfile::TempDir,
}

/// The stub library, which Cargo builds beside the tests.
pub(crate) fn stub() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.with_file_name("libosmo_nvml_stub.so");
    assert!(path.is_file(), "{} is built with the tests", path.display());
    path
}

pub(crate) fn profile(name: &str) -> Value {
    let path = format!("{}/tests/nvml/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

impl Node {
    pub(crate) fn new(profile: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("profile.json"), profile.to_string()).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `osmo-controller node VERB --nvml STUB …`, ended after a minute.
    pub(crate) fn command(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = self.bare(verb, args);
        command.arg("--nvml").arg(stub());
        command
    }

    /// The same without a library.
    pub(crate) fn bare(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_osmo-controller"));
        command.args(["node", verb]).args(args).stdin(Stdio::null());
        command.env("OSMO_NVML_STUB", self.folder.path().join("profile.json"));
        command
    }

    /// The report as JSON.
    pub(crate) fn json(&self) -> Value {
        read(&self.command("report", &["--json"]).output().unwrap())
    }

    pub(crate) fn text(&self, args: &[&str]) -> String {
        let output = self.command("report", args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The JSON of a report that ended well and said nothing else.
pub(crate) fn read(output: &Output) -> Value {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn notes(report: &Value) -> Vec<String> {
    serde_json::from_value(report["gpu"]["notes"].clone()).unwrap()
}

/// Reads of `--watch`, until one satisfies.
pub(crate) fn watch(node: &Node, mut enough: impl FnMut(&Value) -> bool) -> Value {
    let mut child =
        node.command("report", &["--json", "--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let begin = Instant::now();
    let found = loop {
        let report: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        if enough(&report) {
            break report;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{}", report["gpu"]["gpus"][0]["xid"]);
    };
    child.kill().unwrap();
    child.wait().unwrap();
    found
}
