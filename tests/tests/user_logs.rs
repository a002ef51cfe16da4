//! `osmo logs` from a service that the test plays: it streams lines in chunks,
//! as the real core does, and is cut off in the middle.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use osmo_tests::program::Programs;
use tempfile::TempDir;

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

/// What one answer does.
#[derive(Clone)]
enum Step {
    Lines(std::ops::Range<u32>),
    /// Keeps quiet.
    Pause(u64),
    /// Without the last chunk.
    Cut,
    /// With it.
    End,
    /// Says nothing more, and does not end.
    Hang,
    Status(&'static str),
}

fn line(number: u32) -> String {
    format!("2026/01/02 03:04:05 [t1] line {number}\n")
}

/// Answers each call with the next script and gives what was asked for.
fn core(scripts: Vec<Vec<Step>>) -> (String, mpsc::Receiver<String>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (ask, asked) = mpsc::channel();
    let served = std::thread::spawn(move || {
        let mut open = Vec::new();
        for script in scripts {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            ask.send(lines.next().unwrap().unwrap()).unwrap();
            while !lines.next().unwrap().unwrap().is_empty() {}
            for step in script {
                play(&mut stream, step, &mut open);
            }
        }
    });
    (url, asked, served)
}

fn play(stream: &mut TcpStream, step: Step, open: &mut Vec<TcpStream>) {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=us-ascii\r\n\
                          Transfer-Encoding: chunked\r\n\r\n";
    match step {
        Step::Lines(numbers) => {
            if numbers.start % 1_000 == 0 {
                stream.write_all(HEAD).unwrap();
            }
            for number in numbers {
                let line = line(number);
                let chunk = format!("{:x}\r\n{line}\r\n", line.len());
                if stream.write_all(chunk.as_bytes()).is_err() {
                    return;
                }
            }
        }
        Step::Pause(millis) => std::thread::sleep(Duration::from_millis(millis)),
        Step::Cut => stream.shutdown(std::net::Shutdown::Both).unwrap(),
        Step::End => stream.write_all(b"0\r\n\r\n").unwrap(),
        Step::Hang => open.push(stream.try_clone().unwrap()),
        Step::Status(status) => {
            let body = r#"{"message":"Workflow nope is not found.","error_code":"DATABASE","workflow_id":null}"#;
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).unwrap();
        }
    }
}

fn logs(url: &str, verb: &[&str], args: &[&str]) -> Output {
    let folder = TempDir::new().unwrap();
    let login = folder.path().join("login.yaml");
    std::fs::write(&login, format!("url: {url}\ndev_login: {{username: alice}}\n")).unwrap();
    let mut command = PROGRAMS.command("osmo", verb);
    command.args(args).arg("--login").arg(login).stdin(Stdio::null());
    command.output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn lines(numbers: std::ops::Range<u32>) -> String {
    numbers.map(line).collect()
}

#[test]
fn following_goes_on_after_a_cut_and_repeats_nothing() {
    use Step::{Cut, End, Lines, Pause};
    let (url, asked, served) = core(vec![
        vec![Lines(0..300), Pause(100), Cut],
        vec![Lines(0..250), Cut],
        vec![Lines(0..400), Pause(100), Lines(400..500), End],
    ]);
    let output = logs(&url, &["logs", "wf-1"], &["-f", "-t", "t 1"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(printed(&output), lines(0..500));
    served.join().unwrap();
    for asked in asked.try_iter() {
        assert_eq!(asked, "GET /api/workflow/wf-1/logs?task_name=t%201 HTTP/1.1");
    }
}

#[test]
fn without_following_it_ends_when_the_service_has_no_more() {
    let (url, asked, _served) =
        core(vec![vec![Step::Lines(0..50), Step::Hang, Step::Pause(20_000)]]);
    let output = logs(&format!("{url}/below/"), &["logs", "wf-1"], &["-n", "50"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(printed(&output), lines(0..50));
    assert_eq!(asked.recv().unwrap(), "GET /below/api/workflow/wf-1/logs?last_n_lines=50 HTTP/1.1");
}

#[test]
fn under_osmo_s_own_words_it_follows() {
    use Step::{End, Lines, Pause};
    let (url, asked, _served) = core(vec![vec![Lines(0..5), Pause(3_500), Lines(5..9), End]]);
    let output = logs(&url, &["workflow", "logs", "wf-1"], &["--task", "t1", "-r", "2", "--error"]);
    assert_eq!(printed(&output), lines(0..9));
    let asked = asked.recv().unwrap();
    assert_eq!(asked, "GET /api/workflow/wf-1/error_logs?task_name=t1&retry_id=2 HTTP/1.1");
}

#[test]
fn a_workflow_that_is_not_there_is_told() {
    let (url, _asked, _served) = core(vec![vec![Step::Status("400 Bad Request")]]);
    let output = logs(&url, &["logs", "nope"], &["-f"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "osmo: Workflow nope is not found.\n");
}
