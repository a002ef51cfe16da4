//! What a user's `osmo` asks the core service for, against what the recordings
//! show of OSMO's own command line: method, path and query, however quoted.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use osmo_tests::program::Programs;
use serde_json::Value;
use tempfile::TempDir;

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

/// The recorded request that starts a session, as `METHOD target`.
fn recorded(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transcripts");
    let text = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).unwrap();
    let mut events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let asked = events.find(|event| event["from"] == "user" && event["kind"] == "http-request");
    let asked = asked.unwrap();
    format!("{} {}", asked["method"].as_str().unwrap(), asked["path"].as_str().unwrap())
}

/// What `osmo args…` asks for, but for the plugins, before it is told that the
/// workflow is over.
fn asked(args: &[&str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = std::thread::spawn(move || {
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let plugins = first == "GET /api/plugins/configs HTTP/1.1";
            let (status, body) = match plugins {
                true => ("200 OK", r#"{"rsync":{"enabled":true,"allowed_paths":{}}}"#),
                false => (
                    "410 Gone",
                    r#"{"message":"It is over.","error_code":"USER","workflow_id":"wf-1"}"#,
                ),
            };
            let length = body.len();
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
            if !plugins {
                return first;
            }
        }
    });
    let folder = TempDir::new().unwrap();
    let login = folder.path().join("login.yaml");
    std::fs::write(&login, format!("url: {url}\ndev_login: {{username: alice}}\n")).unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let mut command = PROGRAMS.command("osmo", args);
    command.arg("--login").arg(&login).current_dir(folder.path()).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert_ne!(output.status.code(), Some(0), "{args:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("It is over."), "{args:?}: {said}");
    let first = service.join().unwrap();
    first.strip_suffix(" HTTP/1.1").unwrap().to_owned()
}

/// Method, segments and pairs, unquoted.
fn parts(request: &str) -> (String, Vec<String>, Vec<String>) {
    let (method, target) = request.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let plain = |text: &str| percent_decoded(text);
    let segments = path.split('/').map(plain).collect();
    (method.to_owned(), segments, query.split('&').map(plain).collect())
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        if let (b'%', [high, low, after @ ..]) = (first, more) {
            let digits = [*high, *low];
            let digits = std::str::from_utf8(&digits).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = after;
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn sessions_are_asked_for_as_osmo_s_own_command_line_does() {
    for (name, args) in [
        ("action-exec", &["exec", "wf-1", "t1"][..]),
        (
            "action-exec-quoted-command",
            &["exec", "wf-1", "t1", "--entry", "sh -c \"echo 'a b' é\""],
        ),
        ("action-exec-group", &["exec", "wf-1", "--group", "g", "--entry", "/bin/sh"]),
        ("action-portforward-tcp", &["port-forward", "wf-1", "t1", "0:8080", "0:8081"]),
        ("action-portforward-udp", &["port-forward", "wf-1", "t1", "0:9000", "--udp"]),
        ("action-rsync", &["rsync", "upload", "wf-1", "t1", "file:/osmo/run/workspace"]),
    ] {
        assert_eq!(parts(&asked(args)), parts(&recorded(name)), "{name}");
    }
}

/// `workflow-*` of the real service: the lead is looked up by a query first.
#[test]
fn a_task_that_is_not_named_is_asked_for() {
    assert_eq!(asked(&["exec", "wf-1"]), "GET /api/workflow/wf-1");
    assert_eq!(asked(&["rsync", "upload", "wf-1", "file:/x"]), "GET /api/workflow/wf-1");
}
