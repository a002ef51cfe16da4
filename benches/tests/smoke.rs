//! The comparison itself, at a size that means nothing: it runs, it measures,
//! and it believes no peer that is missing, fails or is wrong.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// 0.002 of 20,000 objects of 16 KiB.
const FILES: u64 = 40;
const BYTES: u64 = 40 * 16_384;

struct Trial(TempDir);

impl Trial {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_osmo-beside"), folder.path().join("osmo")).unwrap();
        fs::create_dir_all(folder.path().join("peers/bin")).unwrap();
        let page = "# Page\n\n<!-- compare: begin -->\n<!-- compare: end -->\n\nthe rest\n";
        fs::write(folder.path().join("page.md"), page).unwrap();
        Self(folder)
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn compare(&self, server: &str, peers: &str, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_osmo-bench"));
        command.args(["compare", "--directions", "down", "--places", "tmpfs"]);
        command.args(["--workloads", "small", "--scale", "0.002", "--rounds", "2"]);
        command.args(["--servers", server, "--peers", peers, "--profile", "plain"]).args(more);
        let places = [
            ("--work", "work"),
            ("--peers-at", "peers"),
            ("--scripts", "peers"),
            ("--osmo", "osmo"),
            ("--json", "record.json"),
            ("--page", "page.md"),
        ];
        for (flag, name) in places {
            command.arg(flag).arg(self.at(name));
        }
        command.env("PATH", "/usr/bin:/bin").output().unwrap()
    }

    fn case(&self) -> Value {
        let record: Value =
            serde_json::from_slice(&fs::read(self.at("record.json")).unwrap()).unwrap();
        record["cases"][0].clone()
    }

    /// A peer that is a shell script.
    fn fake_s5cmd(&self, script: &str) {
        let path = self.at("peers/bin/s5cmd");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn server() -> &'static str {
    if Path::new("/usr/sbin/nginx").exists() { "nginx" } else { "model" }
}

fn ours() -> &'static str {
    if osmo_tests::uring_works() { "osmo-uring,osmo-epoll" } else { "osmo-epoll" }
}

#[test]
fn osmo_beside_curl() {
    let trial = Trial::new();
    let output = trial.compare(server(), &format!("{},curl", ours()), &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let case = trial.case();
    assert_eq!((case["files"].as_u64(), case["bytes"].as_u64()), (Some(FILES), Some(BYTES)));
    assert_eq!(case["left_out"], Value::Array(Vec::new()));
    let runs = case["runs"].as_array().unwrap();
    let peers = ours().split(',').count() + 1;
    assert_eq!(runs.len(), 2 * peers);
    // In turns: the second round begins with whom the first began.
    assert_eq!(runs[0]["peer"], runs[peers]["peer"]);
    for run in runs {
        assert!(run["wall_s"].as_f64().unwrap() > 0.0, "{run}");
        assert!(run["user_s"].as_f64().unwrap() + run["sys_s"].as_f64().unwrap() > 0.0, "{run}");
        // No program of these fits in 1 MiB, and none needs 1 GiB.
        assert!((1 << 10..1 << 20).contains(&run["rss_kib"].as_u64().unwrap()), "{run}");
    }
    let page = fs::read_to_string(trial.at("page.md")).unwrap();
    assert!(page.contains("| osmo (epoll) | ") && page.contains("| curl | "), "{page}");
    assert!(page.starts_with("# Page\n") && page.ends_with("\n\nthe rest\n"), "{page}");
}

#[test]
fn no_peer_wins_by_being_wrong() {
    let trial = Trial::new();
    let reason = |output: &Output| {
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let case = trial.case();
        let runs = case["runs"].as_array().unwrap();
        assert!(runs.iter().all(|run| run["peer"] == "osmo (epoll)"), "{case}");
        assert_eq!(case["left_out"][0]["peer"], "s5cmd");
        case["left_out"][0]["why"].as_str().unwrap().to_owned()
    };
    let compare = |more: &[&str]| trial.compare("model", "osmo-epoll,s5cmd", more);

    assert_eq!(reason(&compare(&[])), "missing");
    assert!(compare(&["--skip-missing"]).status.success());
    trial.fake_s5cmd("exit 0");
    assert_eq!(reason(&compare(&["--skip-missing"])), "wrong");
    trial.fake_s5cmd("echo no store >&2; exit 7");
    assert_eq!(reason(&compare(&["--skip-missing"])), "failed");
    let page = fs::read_to_string(trial.at("page.md")).unwrap();
    assert!(page.contains("- s5cmd is not compared: it ended with 7: no store."), "{page}");
}

#[test]
fn the_model_says_where_it_is_and_what_its_limits_are() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let mut model = Command::new(env!("CARGO_BIN_EXE_osmo-bench"))
        .args(["model", "--profile", "throttled", "--scale", "0.01"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> =
        BufReader::new(model.stdout.take().unwrap()).lines().take(5).map(Result::unwrap).collect();
    let url = format!("{}/bench/small/0000199.bin", lines[0]);
    let head = Command::new("curl").args(["-sSfI", &url]).output().unwrap();
    model.kill().unwrap();
    model.wait().unwrap();
    assert!(String::from_utf8(head.stdout).unwrap().contains("content-length: 16384\r\n"));
    // 200 requests at 200 a second.
    assert!(lines[3].starts_with("small: 200 objects, 3276800 bytes"), "{lines:?}");
    assert!(lines[3].ends_with("at best 1.00 s"), "{lines:?}");
}

#[test]
fn a_pod_beside_bare_programs() {
    let trial = Trial::new();
    for name in ["osmo-ctrl", "osmo-exec", "osmo-init"] {
        symlink(env!("CARGO_BIN_EXE_osmo-beside"), trial.at(name)).unwrap();
    }
    let page = "<!-- pod: begin -->\n<!-- pod: end -->\n";
    fs::write(trial.at("page.md"), page).unwrap();
    image(&trial.at("image"));
    let rsync = Command::new("rsync").arg("--version").output().is_ok();
    let files = if rsync { ",files" } else { "" };
    let mut command = Command::new(env!("CARGO_BIN_EXE_osmo-bench"));
    command.args(["pod", "--scale", "0.002", "--rounds", "1", "--cases"]);
    command.arg(format!("terminal,forward,lines,idle,init{files}"));
    for (flag, name) in [
        ("--programs", "."),
        ("--image", "image"),
        ("--work", "."),
        ("--json", "pod.json"),
        ("--page", "page.md"),
    ] {
        command.arg(flag).arg(trial.at(name));
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let record: Value = serde_json::from_slice(&fs::read(trial.at("pod.json")).unwrap()).unwrap();
    let cases = record["cases"].as_object().unwrap();
    assert_eq!(cases.len(), if rsync { 6 } else { 5 });
    for measure in cases.values().flat_map(|measures| measures.as_array().unwrap()) {
        let value = measure["values"][0].as_f64().unwrap();
        // A sleeping program may spend nothing.
        assert!(value > 0.0 || measure["what"].as_str().unwrap().contains("idle"), "{measure}");
    }
    // A ratio is that of its two figures, as they stand behind it.
    let value = |at: usize| cases["terminal"][at]["values"][0].as_f64().unwrap();
    assert!((value(0) - value(2) / value(3)).abs() < 1e-9);
    assert!((value(1) - value(2) / value(4)).abs() < 1e-9);
    let page = fs::read_to_string(trial.at("page.md")).unwrap();
    assert!(page.contains("| echo of a key, p50, beside a bare echo | "), "{page}");
}

/// What osmo-init places, with nothing in it.
fn image(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for name in ["osmo_ctrl", "osmo_exec", "osmo", "rsync", "LICENSE.rsync", "NOTICE.rsync"] {
        fs::write(folder.join(name), name).unwrap();
    }
}
