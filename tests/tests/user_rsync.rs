//! `osmo rsync` with real rsync programs on both sides; between them the local
//! service's router and a sidecar that the test plays.

#![allow(clippy::unwrap_used)]

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use osmo_protocol::logger::Action;
use osmo_protocol::router::PairKind;
use osmo_tests::program::Programs;
use osmo_tests::sidecar::{Sidecar, WATCHDOG};
use tempfile::TempDir;
use tokio::task::{JoinHandle, spawn_blocking};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

/// A daemon with one module, `osmo`.
struct Daemon(Child, u16);

impl Daemon {
    fn start(folder: &Path) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        std::fs::create_dir(folder.join("workspace")).unwrap();
        let config = folder.join("rsyncd.conf");
        let workspace = folder.join("workspace").display().to_string();
        let mut text = format!("use chroot = no\n[osmo]\npath = {workspace}\nread only = no\n");
        if rustix::process::geteuid().is_root() {
            // Else it would be nobody.
            text.push_str("uid = 0\ngid = 0\n");
        }
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("rsync");
        command.args(["--daemon", "--no-detach", "--address=127.0.0.1"]);
        command.arg(format!("--port={port}")).arg(format!("--config={}", config.display()));
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < WATCHDOG, "rsync does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self(child, port))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn osmo(sidecar: &Sidecar, folder: &Path, args: &[&str]) -> JoinHandle<Output> {
    let mut command = PROGRAMS.command("osmo", args.iter().take(2));
    command.arg("--login").arg(sidecar.login(folder)).args(&args[2..]).current_dir(folder);
    spawn_blocking(move || command.output().unwrap())
}

async fn served(sidecar: &mut Sidecar, port: u16, mut osmo: JoinHandle<Output>) -> Output {
    loop {
        let route = tokio::select! {
            action = sidecar.action() => match action {
                Action::Rsync { route, .. } => route,
                other => panic!("{other:?}"),
            },
            output = &mut osmo => return output.unwrap(),
        };
        let control = sidecar.dial(PairKind::Rsync, &route).await;
        tokio::select! {
            () = sidecar.forward(control, port) => {}
            output = &mut osmo => return output.unwrap(),
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn tree(folder: &Path) {
    std::fs::create_dir_all(folder.join("deep/er")).unwrap();
    std::fs::write(folder.join("a:b c"), b"colon").unwrap();
    std::fs::write(folder.join("deep/er/big"), vec![7; 3 << 20]).unwrap();
    for number in 0..200 {
        std::fs::write(folder.join(format!("deep/{number}")), number.to_string()).unwrap();
    }
}

fn same(left: &Path, right: &Path) {
    let output = Command::new("diff").arg("-r").args([left, right]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_goes_there_and_comes_back() {
    let folder = TempDir::new().unwrap();
    let Some(daemon) = Daemon::start(folder.path()) else {
        return osmo_tests::skip::skip("there is no rsync");
    };
    tree(&folder.path().join("tree"));
    let mut sidecar = Sidecar::start().await;
    let upload = ["rsync", "upload", "wf-1", "t1", "tree:/osmo/run/workspace/up"];
    let output = osmo(&sidecar, folder.path(), &upload);
    let output = served(&mut sidecar, daemon.1, output).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("deep/er/big"), "{}", said(&output));
    same(&folder.path().join("tree"), &folder.path().join("workspace/up/tree"));
    let download = ["rsync", "download", "wf-1", "t1", "up/tree/:back/here", "--", "--exclude=1*"];
    let output = osmo(&sidecar, folder.path(), &download);
    let output = served(&mut sidecar, daemon.1, output).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for number in (0..200).filter(|number: &u32| number.to_string().starts_with('1')) {
        assert!(!folder.path().join(format!("back/here/deep/{number}")).exists());
        std::fs::remove_file(folder.path().join(format!("tree/deep/{number}"))).unwrap();
    }
    same(&folder.path().join("tree"), &folder.path().join("back/here"));
    // rsync's own code: 23, partial transfer.
    let missing = ["rsync", "download", "wf-1", "t1", "nowhere:back"];
    let output = osmo(&sidecar, folder.path(), &missing);
    let output = served(&mut sidecar, daemon.1, output).await;
    assert_eq!(output.status.code(), Some(23), "{}", said(&output));
}

// In a task's first seconds the sidecar ignores the action.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_not_there_yet_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let Some(daemon) = Daemon::start(folder.path()) else {
        return osmo_tests::skip::skip("there is no rsync");
    };
    std::fs::write(folder.path().join("file"), b"x").unwrap();
    let mut sidecar = Sidecar::start().await;
    let upload = ["rsync", "upload", "wf-1", "t1", "file:/osmo/run/workspace/", "--timeout", "1"];
    let output = osmo(&sidecar, folder.path(), &upload);
    assert!(matches!(sidecar.action().await, Action::Rsync { .. }));
    let output = served(&mut sidecar, daemon.1, output).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("does not answer yet"), "{}", said(&output));
    assert!(folder.path().join("workspace/file").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_copied_is_told() {
    let folder = TempDir::new().unwrap();
    let sidecar = Sidecar::start().await;
    if Command::new("rsync").arg("--version").output().is_err() {
        return osmo_tests::skip::skip("there is no rsync");
    }
    for (paths, code, part) in [
        ("x:/etc", 1, "can be written: /osmo/run/workspace"),
        ("x", 1, "expected <path here>:<path in the task>"),
    ] {
        let output = osmo(&sidecar, folder.path(), &["rsync", "upload", "wf-1", "t1", paths]);
        let output = output.await.unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(part), "{}", said(&output));
    }
}
