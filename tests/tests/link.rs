//! The sidecar and a service behind TLS, whose certificate only a private
//! authority vouches for.

#![allow(clippy::unwrap_used)]

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use osmo_controller::service::{LocalService, ServiceConfig, TaskIdentity};
use osmo_tests::outside::authority::Authority;
use osmo_tests::program::Programs;
use osmo_tests::skip::skip;
use osmo_tests::tls_front::Front;
use serde_json::Value;

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));
const WATCHDOG: Duration = Duration::from_secs(60);

/// Runs a sidecar that fails over an input at once, and says so to whom it can:
/// its exit code, what it wrote for people, its termination message.
fn run(folder: &Path, port: &str, more: &[&str]) -> (Option<i32>, String, Value) {
    let mut command = PROGRAMS.command("osmo-ctrl", ["-scheme", "wss", "-refreshScheme", "https"]);
    command
        .args(["-socketPath", "data.sock", "-inputPath", "in", "-outputPath", "out"])
        .args(["-workflow", "wf-1", "-groupName", "g", "-logSource", "t", "-host", "localhost"])
        .args(["-port", port, "-refreshToken", "token", "-terminationLog", "termination"])
        .args(["-inputs", "nonsense"])
        .args(more)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("stderr")).unwrap());
    let mut child = command.spawn().unwrap();
    let begin = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if begin.elapsed() > WATCHDOG {
            let _ = child.kill();
            panic!("the sidecar does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let told = std::fs::read(folder.join("termination")).unwrap();
    let said = std::fs::read_to_string(folder.join("stderr")).unwrap();
    (code, said, serde_json::from_slice(&told).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_behind_tls_is_verified_unless_asked_not_to() {
    let folder = tempfile::tempdir().unwrap();
    let authority = match Authority::make(folder.path()) {
        Ok(authority) => authority,
        Err(error) => return skip(&format!("no certificate: {error:#}")),
    };
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("no python3 that ends TLS");
    }
    // A socket is bound here and there; a path that is too long fails early.
    drop(UnixListener::bind(folder.path().join("probe")).unwrap());
    let service = LocalService::start(ServiceConfig::default()).await.unwrap();
    let identity = TaskIdentity {
        workflow: "wf-1".into(),
        group: "g".into(),
        task: "t".into(),
        retry: 0,
        lead: true,
    };
    let (key, token) = (identity.key(), service.add_task(identity));
    std::fs::write(folder.path().join("token"), token).unwrap();
    let front = Front::start(&authority, service.address().port()).unwrap();
    let ca = authority.ca.to_str().unwrap().to_owned();
    let at = folder.path().to_owned();
    let go = |more: Vec<String>| {
        let (at, port) = (at.clone(), front.port.to_string());
        tokio::task::spawn_blocking(move || {
            let more: Vec<&str> = more.iter().map(String::as_str).collect();
            run(&at, &port, &more)
        })
    };
    let heard = || {
        let lines = service.logs(&key);
        lines.iter().filter(|line| line.text.contains("cannot understand input")).count()
    };

    // Nobody vouches for it: no token, no line goes there.
    let (_, said, told) = go(vec!["-timeout".into(), "0".into()]).await.unwrap();
    assert_eq!(told["code"], 30, "the first failure stands: {told}");
    assert!(said.contains("nobody who is trusted") && said.contains("CA file"), "{said}");
    assert_eq!(heard(), 0);

    let (code, said, _) = go(vec!["-caFile".into(), ca]).await.unwrap();
    assert_eq!(code, Some(30), "{said}");
    assert_eq!(heard(), 1, "{said}");
    assert!(!said.contains("WARNING"), "{said}");

    let (code, said, _) = go(vec!["-tlsVerify=false".into()]).await.unwrap();
    assert_eq!(code, Some(30), "{said}");
    assert_eq!(heard(), 2, "{said}");
    assert_eq!(said.matches("is not checked").count(), 1, "{said}");
    drop(front);
    service.stop().await;
}
