//! `osmo exec` at a real terminal (a PTY) and without one; the task's side is
//! played by the test, as the recordings of the real service show it.

#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use osmo_controller::service::{TaskIdentity, TaskStatus};
use osmo_link::Socket;
use osmo_protocol::logger::Action;
use osmo_protocol::router::PairKind;
use osmo_tests::program::Programs;
use osmo_tests::sidecar::{Sidecar, WATCHDOG, next, send};
use rustix::termios::{Winsize, tcsetwinsize};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

/// A terminal of 24 × 80 and everything that it has shown.
struct Terminal {
    keyboard: std::fs::File,
    end: OwnedFd,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn open() -> Self {
        use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let end = ioctl_tiocgptpeer(&master, flags).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let keyboard = std::fs::File::from(master);
        let mut screen = keyboard.try_clone().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let show = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = screen.read(&mut bytes) {
                show.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self { keyboard, end, shown }
    }

    fn stdio(&self) -> Stdio {
        self.end.try_clone().unwrap().into()
    }

    /// `stty -g`: every setting in one line.
    fn settings(&self) -> String {
        let output = Command::new("stty").arg("-g").stdin(self.stdio()).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    fn shows(&self, text: &str) {
        let begun = Instant::now();
        while !String::from_utf8_lossy(&self.shown.lock().unwrap()).contains(text) {
            assert!(
                begun.elapsed() < WATCHDOG,
                "{:?}",
                String::from_utf8_lossy(&self.shown.lock().unwrap())
            );
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    fn types(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    fn resize(&self, rows: u16, cols: u16) {
        let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.keyboard, size).unwrap();
    }

    /// `osmo exec wf-1 t1 …` with this terminal as its own.
    fn exec(&self, folder: &TempDir, sidecar: &Sidecar, more: &[&str]) -> Child {
        let program = folder.path().join("osmo");
        std::os::unix::fs::symlink(PROGRAMS.0, &program).unwrap();
        Command::new("setsid")
            .args(["-c", "-w"])
            .arg(program)
            .args(["exec", "wf-1", "t1", "--login"])
            .arg(sidecar.login(folder.path()))
            .args(more)
            .stdin(self.stdio())
            .stdout(self.stdio())
            .stderr(self.stdio())
            .spawn()
            .unwrap()
    }
}

async fn begin(sidecar: &mut Sidecar, command: &str) -> (Socket, serde_json::Value) {
    let Action::Exec { route, entry_command } = sidecar.action().await else { panic!("no exec") };
    assert_eq!(entry_command, command);
    let mut pair = sidecar.dial(PairKind::Exec, &route).await;
    let size = serde_json::from_slice(&next(&mut pair).await.unwrap()).unwrap();
    (pair, size)
}

async fn reads(pair: &mut Socket, expected: &[u8]) {
    let mut read = Vec::new();
    while read.len() < expected.len() {
        read.extend(next(pair).await.unwrap());
    }
    assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(expected));
}

async fn ended(mut child: Child) -> Option<i32> {
    let wait = tokio::task::spawn_blocking(move || child.wait().unwrap().code());
    timeout(WATCHDOG, wait).await.unwrap().unwrap()
}

// The conversation of the recording `cli-exec`.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_carried_as_recorded_and_left_as_it_was() {
    let mut sidecar = Sidecar::start().await;
    let (folder, mut terminal) = (TempDir::new().unwrap(), Terminal::open());
    let before = terminal.settings();
    let child = terminal.exec(&folder, &sidecar, &["--entry", "/bin/sh"]);
    let (mut pair, size) = begin(&mut sidecar, "/bin/sh").await;
    assert_eq!(size, serde_json::json!({"Rows": 24, "Cols": 80, "ExitCode": true}));
    send(&mut pair, b"$ ").await;
    terminal.shows("$ ");
    assert_ne!(terminal.settings(), before);
    terminal.types(b"echo hi\r");
    reads(&mut pair, b"echo hi\r").await;
    terminal.types(b"\x03");
    reads(&mut pair, b"\x03").await;
    terminal.types("é".as_bytes());
    reads(&mut pair, "é".as_bytes()).await;
    send(&mut pair, b"echo hi\r\nhi\r\n$ ").await;
    terminal.resize(40, 120);
    let resized = next(&mut pair).await.unwrap();
    let size = resized.strip_prefix(b"\x00RESIZE:").unwrap();
    let size: serde_json::Value = serde_json::from_slice(size).unwrap();
    assert_eq!(size, serde_json::json!({"Rows": 40, "Cols": 120}));
    send(&mut pair, b"bye\r\n\x00EX").await;
    send(&mut pair, b"IT:{\"Code\":3}").await;
    drop(pair.close(None).await);
    assert_eq!(ended(child).await, Some(3));
    terminal.shows("$ echo hi\r\nhi\r\n$ bye\r\n");
    assert!(!String::from_utf8_lossy(&terminal.shown.lock().unwrap()).contains("EXIT"));
    assert_eq!(terminal.settings(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_left_as_it_was_after_a_signal_and_an_escape() {
    for signal in [true, false] {
        let mut sidecar = Sidecar::start().await;
        let (folder, mut terminal) = (TempDir::new().unwrap(), Terminal::open());
        let before = terminal.settings();
        let child = terminal.exec(&folder, &sidecar, &[]);
        let (mut pair, _) = begin(&mut sidecar, "/bin/bash").await;
        send(&mut pair, b"$ ").await;
        terminal.shows("$ ");
        let expected = if signal {
            let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
            143
        } else {
            terminal.types(b"x\r~.");
            reads(&mut pair, b"x\r").await;
            255
        };
        assert_eq!(next(&mut pair).await, None);
        assert_eq!(ended(child).await, Some(expected));
        assert_eq!(terminal.settings(), before);
    }
}

// Before the task has come nobody could take a ^C: it gives up.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_before_the_task_has_come_gives_up() {
    let mut sidecar = Sidecar::start().await;
    let (folder, mut terminal) = (TempDir::new().unwrap(), Terminal::open());
    let before = terminal.settings();
    let child = terminal.exec(&folder, &sidecar, &[]);
    assert!(matches!(sidecar.action().await, Action::Exec { .. }));
    terminal.shows("waiting for the task's terminal");
    terminal.types(b"\x03");
    assert_eq!(ended(child).await, Some(130));
    assert_eq!(terminal.settings(), before);
}

fn piped(sidecar: &Sidecar, folder: &TempDir, args: &[&str]) -> Child {
    PROGRAMS
        .command("osmo", ["exec", "--login"])
        .arg(sidecar.login(folder.path()))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn output(child: Child) -> Output {
    let wait = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    timeout(WATCHDOG, wait).await.unwrap().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_stdin_is_typed_and_ends_with_its_key() {
    for (typed, expected) in [("ls\n", "ls\n\u{4}"), ("ls", "ls\u{4}\u{4}"), ("", "\u{4}")] {
        let mut sidecar = Sidecar::start().await;
        let folder = TempDir::new().unwrap();
        let mut child = piped(&sidecar, &folder, &["wf-1", "t1"]);
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let (mut pair, size) = begin(&mut sidecar, "/bin/bash").await;
        // As the recording `cli-exec-hangup` has it, where there is no terminal.
        assert_eq!((size["Rows"].clone(), size["Cols"].clone()), (0.into(), 0.into()));
        reads(&mut pair, expected.as_bytes()).await;
        send(&mut pair, b"a\r\n\x00b").await;
        // A sidecar of another make tells no code.
        drop(pair.close(None).await);
        let output = output(child).await;
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"a\r\n\x00b"[..]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_task_the_lead_is_meant() {
    let mut sidecar = Sidecar::start().await;
    let identity = |task: &str, lead| TaskIdentity {
        workflow: "wf-1".into(),
        group: "g".into(),
        task: task.into(),
        retry: 0,
        lead,
    };
    sidecar.service.add_task(identity("a-member", false));
    let folder = TempDir::new().unwrap();
    let child = piped(&sidecar, &folder, &["wf-1"]);
    // Only t1, the lead, is played here.
    let (mut pair, _) = begin(&mut sidecar, "/bin/bash").await;
    drop(pair.close(None).await);
    assert_eq!(output(child).await.status.code(), Some(0));
    let told = output(piped(&sidecar, &TempDir::new().unwrap(), &["nope"])).await;
    assert_eq!(told.status.code(), Some(255));
    assert!(said(&told).contains("Workflow nope is not found"), "{}", said(&told));
}

// Far more than all buffers between hold, both ways at once.
#[tokio::test(flavor = "multi_thread")]
async fn megabytes_pass_both_ways_at_once() {
    const BYTES: usize = 12 << 20;
    let mut sidecar = Sidecar::start().await;
    let folder = TempDir::new().unwrap();
    let mut child = piped(&sidecar, &folder, &["wf-1", "t1", "--", "cat", "a b", "it's"]);
    let mut stdin = child.stdin.take().unwrap();
    let typed = std::thread::spawn(move || stdin.write_all(&vec![b'k'; BYTES]).unwrap());
    let Action::Exec { route, entry_command } = sidecar.action().await else { panic!("no exec") };
    // As POSIX shells read it.
    let words = Command::new("sh").args(["-c", &format!("printf '%s|' {entry_command}")]).output();
    assert_eq!(String::from_utf8(words.unwrap().stdout).unwrap(), "cat|a b|it's|");
    let mut pair = sidecar.dial(PairKind::Exec, &route).await;
    next(&mut pair).await.unwrap();
    let shown = tokio::spawn(async { output(child).await });
    let (mut sent, mut read) = (0, 0);
    while read < BYTES + 2 {
        if sent < BYTES {
            send(&mut pair, &[b's'; 64 << 10]).await;
            sent += 64 << 10;
        }
        if read < BYTES + 2 {
            read += next(&mut pair).await.unwrap().len();
        }
    }
    while sent < BYTES {
        send(&mut pair, &[b's'; 64 << 10]).await;
        sent += 64 << 10;
    }
    send(&mut pair, b"\x00EXIT:{\"Code\":0}").await;
    typed.join().unwrap();
    let output = shown.await.unwrap();
    assert_eq!((output.status.code(), read), (Some(0), BYTES + 2));
    assert!(output.stdout.len() == BYTES && output.stdout.iter().all(|&byte| byte == b's'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_does_not_run_yet_is_waited_for() {
    let mut sidecar = Sidecar::start().await;
    let folder = TempDir::new().unwrap();
    sidecar.service.set_status(&sidecar.key, TaskStatus::Pending);
    let child = piped(&sidecar, &folder, &["wf-1", "t1"]);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    sidecar.service.set_status(&sidecar.key, TaskStatus::Running);
    let (mut pair, _) = begin(&mut sidecar, "/bin/bash").await;
    send(&mut pair, b"\x00EXIT:{\"Code\":7}").await;
    let output = output(child).await;
    assert_eq!(output.status.code(), Some(7));
    assert!(said(&output).contains("Waiting up to 300 s"), "{}", said(&output));
    sidecar.service.set_status(&sidecar.key, TaskStatus::Pending);
    let output = self::output(piped(&sidecar, &folder, &["wf-1", "t1", "--wait", "0"])).await;
    assert_eq!(output.status.code(), Some(255));
    assert!(said(&output).contains("not yet running in workflow wf-1"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_s_lines_stand_behind_their_task_s_name() {
    let mut sidecar = Sidecar::start().await;
    let folder = TempDir::new().unwrap();
    let child = piped(&sidecar, &folder, &["wf-1", "--group", "g", "--", "make", "all"]);
    let (mut pair, _) = begin(&mut sidecar, "make all").await;
    send(&mut pair, b"hi\r\nthe").await;
    send(&mut pair, b"re\x00EXIT:{\"Code\":4}").await;
    let output = output(child).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "[t1] hi\n[t1] there\n");
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
}

/// The router closes the user's side in order when the sidecar is gone: what a
/// program came to is not known then.
#[tokio::test(flavor = "multi_thread")]
async fn a_promised_code_that_does_not_come_is_no_success() {
    for words in [&["wf-1", "t1", "--entry", "sh"][..], &["wf-1", "--group", "g", "--entry", "sh"]]
    {
        let mut sidecar = Sidecar::start().await;
        let folder = TempDir::new().unwrap();
        let child = piped(&sidecar, &folder, words);
        let (mut pair, _) = begin(&mut sidecar, "sh").await;
        send(&mut pair, b"\x00EXIT:{}works\r\n").await;
        drop(pair.close(None).await);
        let output = output(child).await;
        assert_eq!(output.status.code(), Some(255), "{}", said(&output));
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(shown.contains("works") && !shown.contains("EXIT"), "{shown}");
        assert!(said(&output).contains("before"), "{}", said(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_told_or_made_again() {
    for keep in [false, true] {
        let mut sidecar = Sidecar::start().await;
        let folder = TempDir::new().unwrap();
        let more = if keep { "--keep-alive" } else { "--no-escape" };
        let child = piped(&sidecar, &folder, &["wf-1", "t1", "--entry", "sh", more]);
        let (mut pair, _) = begin(&mut sidecar, "sh").await;
        send(&mut pair, b"$ ").await;
        // At a text frame the router drops the user without a close.
        futures_util::SinkExt::send(&mut pair, Message::text("no")).await.unwrap();
        if keep {
            let (mut pair, _) = begin(&mut sidecar, "sh").await;
            send(&mut pair, b"\x00EXIT:{\"Code\":5}").await;
        }
        let output = output(child).await;
        assert_eq!(output.status.code(), Some(if keep { 5 } else { 255 }));
        assert!(said(&output).contains("was lost"), "{}", said(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_told_in_a_sentence() {
    let sidecar = Sidecar::start().await;
    let folder = TempDir::new().unwrap();
    let told = async |args: &[&str]| {
        let output = output(piped(&sidecar, &folder, args)).await;
        assert_eq!(output.status.code(), Some(255), "{}", said(&output));
        said(&output)
    };
    assert_eq!(told(&["nope", "t1"]).await, "osmo: Workflow nope is not found.\n");
    assert_eq!(told(&["wf-1", "t2"]).await, "osmo: Task t2 of workflow wf-1 is not found.\n");
    sidecar.service.set_status(&sidecar.key, TaskStatus::Completed);
    let ended = told(&["wf-1", "t1"]).await;
    assert!(ended.contains("has ended"), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_missing_or_refused_is_told_without_its_token() {
    let sidecar = Sidecar::start().await;
    let folder = TempDir::new().unwrap();
    let run = async |args: Vec<std::ffi::OsString>| {
        let mut command = PROGRAMS.command("osmo", ["exec", "wf-1", "t1"]);
        command.args(args).env("HOME", folder.path()).stdin(Stdio::null());
        output(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).await
    };
    let none = run(vec![]).await;
    assert_eq!(none.status.code(), Some(255));
    assert!(said(&none).contains("osmo login"), "{}", said(&none));
    let path = folder.path().join(".config/osmo/login.yaml");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let address = sidecar.service.address();
    let text = format!(
        "url: http://{address}\ntoken_login: {{id_token: S3CRET, refresh_token: S3CRET2}}\n"
    );
    std::fs::write(&path, text).unwrap();
    let refused = run(vec![]).await;
    assert!(said(&refused).contains("log in again"), "{}", said(&refused));
    assert!(!said(&refused).contains("S3CRET"), "{}", said(&refused));
    drop(sidecar);
    let away = run(vec!["--wait".into(), "0".into()]).await;
    assert!(said(&away).contains("cannot reach the service at"), "{}", said(&away));
}
