//! What the real program serves under `-health`.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::io::{Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Agent, Service, Sidecar, TOKEN, WATCHDOG};
use osmo_protocol::socket::Frame;

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn dial(port: u16) -> TcpStream {
    let begin = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => {
                stream.set_read_timeout(Some(WATCHDOG)).unwrap();
                return stream;
            }
            Err(error) => assert!(begin.elapsed() < WATCHDOG, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Status, head, body.
fn ask(mut stream: impl Write + std::io::Read, method: &str, path: &str) -> (u16, String, String) {
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn get(port: u16, path: &str) -> (u16, String) {
    let (status, _, body) = ask(dial(port), "GET", path);
    (status, body)
}

/// Reads an exposition as the format's page describes it, and refuses what it
/// does not allow: sample name and labels to value, and name to type.
fn parse(text: &str) -> (BTreeMap<String, f64>, BTreeMap<String, String>) {
    assert!(text.ends_with('\n'), "the last line ends with a line feed");
    let (mut samples, mut types, mut helped) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, about) = rest.split_once(' ').unwrap();
            assert!(!about.is_empty() && !helped.contains(&name), "{line}");
            helped.push(name);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, shape) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram", "summary", "untyped"].contains(&shape));
            assert_eq!(types.insert(name.to_owned(), shape.to_owned()), None, "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = check_series(series);
            assert_eq!(
                types.keys().filter(|known| *known == name).count(),
                1,
                "TYPE before {line}"
            );
            let group = types.len();
            assert_eq!(helped.len(), group, "{line}");
            assert_eq!(helped[group - 1], name, "samples of a name stand together: {line}");
            assert_eq!(samples.insert(series.to_owned(), value.parse().unwrap()), None, "{line}");
        }
    }
    (samples, types)
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*` and `{label="value",…}` with `\\`, `\"`, `\n`.
fn check_series(series: &str) -> &str {
    let word = |c: char, first: bool| {
        c.is_ascii_alphabetic() || c == '_' || (!first && c.is_ascii_digit())
    };
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let legal = name.char_indices().all(|(at, c)| c == ':' || word(c, at == 0));
    assert!(legal && !name.is_empty(), "{series}");
    let mut rest = labels;
    while !rest.is_empty() && rest != "}" {
        let (label, value) = rest.split_once("=\"").unwrap();
        assert!(label.char_indices().all(|(at, c)| word(c, at == 0)), "{series}");
        let mut escaped = false;
        let end = value.find(|c| {
            let is_end = c == '"' && !escaped;
            assert!(!escaped || ['\\', '"', 'n'].contains(&c), "{series}");
            escaped = c == '\\' && !escaped;
            is_end
        });
        rest = &value[end.unwrap() + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    assert_eq!(rest, if labels.is_empty() { "" } else { "}" }, "{series}");
    name
}

fn page() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/METRICS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let mut cells = row.split(" | ");
        let name = cells.next().unwrap().trim_end_matches('`').to_owned();
        (name, cells.next().unwrap().to_owned())
    })
    .collect()
}

#[test]
fn a_task_is_ready_once_it_is_past_init_and_its_numbers_are_told() {
    let service = Service::start(200, TOKEN, &[]);
    let port = free_port();
    let place = format!("127.0.0.1:{port}");
    let sidecar = Sidecar::start(service.port, &["-health", &place]);
    let (status, why) = get(port, "/readyz");
    assert_eq!(status, 503);
    assert!(why.contains("waiting for the service and the user container"), "{why}");
    assert_eq!(get(port, "/healthz"), (200, "ok\n".to_owned()));

    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    agent.say(&Frame::MessageOut("one".into()));
    service.wait_for("one");
    assert_eq!(get(port, "/readyz"), (200, "ok\n".to_owned()));

    let (status, head, text) = ask(dial(port), "GET", "/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    let (samples, types) = parse(&text);
    assert_eq!(types, page(), "docs/METRICS.md names the same");
    for (series, value) in [
        ("osmo_link_up", 1.0),
        ("osmo_link_reconnects_total", 0.0),
        ("osmo_phase_info{phase=\"run\"}", 1.0),
        ("osmo_phase_info{phase=\"init\"}", 0.0),
        ("osmo_outbox_dropped_total", 0.0),
        ("osmo_sessions{kind=\"terminal\"}", 0.0),
        ("osmo_transfers", 0.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}\n{text}");
    }
    assert!(samples["osmo_phase_seconds{phase=\"init\"}"] > 0.0);
    assert!(samples["process_resident_memory_bytes"] > 1e6);
    assert!(
        samples
            .contains_key(&format!("osmo_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")))
    );

    let (status, head, body) = ask(dial(port), "HEAD", "/metrics");
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-length: "), "{head}");
    let (status, head, _) = ask(dial(port), "POST", "/metrics");
    assert!(status == 405 && head.contains("allow: get, head"), "{head}");
    assert_eq!(get(port, "/nothing").0, 404);

    // Somebody who asks nothing does not outlive the end.
    let silent = dial(port);
    assert_eq!(get(port, "/healthz").0, 200, "the silent one was accepted before");
    agent.say(&Frame::ExecFinished);
    let (code, _, events) = sidecar.end();
    assert_eq!(code, Some(0));
    drop(silent);
    let left = events.last().unwrap()["left"].as_object().unwrap();
    assert!(left.len() == 9 && left.values().all(|count| count == 0), "{left:?}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nobody listens any more");
}

#[test]
fn the_limits_hold_and_the_others_are_served_after_them() {
    let service = Service::start(200, TOKEN, &[]);
    let port = free_port();
    let sidecar = Sidecar::start(service.port, &["-health", &format!("127.0.0.1:{port}")]);
    // A head that is too long is refused, not kept.
    let mut long = dial(port);
    let head = format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(64 << 10));
    let _ = long.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let _ = long.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    // Eight that say nothing hold every place; the ninth is served once the
    // first are cut off.
    let mut silent: Vec<_> = (0..8).map(|_| dial(port)).collect();
    assert_eq!(get(port, "/healthz").0, 200);
    let mut byte = [0];
    for stream in &mut silent {
        assert!(matches!(stream.read(&mut byte), Ok(0) | Err(_)), "it was cut off");
    }
    sidecar.signal("TERM");
    sidecar.end();
}

#[test]
fn a_unix_socket_is_for_its_owners_and_goes_at_the_end() {
    let service = Service::start(200, TOKEN, &[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("health.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let place = format!("unix:{}", path.display());
    let sidecar = Sidecar::start(service.port, &["-health", &place]);
    let begin = Instant::now();
    let stream = loop {
        // The stale socket refuses until it is replaced.
        match UnixStream::connect(&path) {
            Ok(stream) => break stream,
            Err(error) => assert!(begin.elapsed() < WATCHDOG, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(ask(stream, "GET", "/healthz").0, 200);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    sidecar.signal("TERM");
    sidecar.end();
    assert!(!path.exists());
}

#[test]
fn a_bad_place_is_a_sentence_and_code_30() {
    let service = Service::start(200, TOKEN, &[]);
    let sidecar = Sidecar::start(service.port, &["-health", "0.0.0.0:9100"]);
    let (code, told, _) = sidecar.end();
    assert_eq!(code, Some(30));
    assert!(told.contains("only loopback is served"), "{told}");
}

#[test]
fn a_place_that_is_taken_fails_the_task_and_says_so_in_its_log() {
    let service = Service::start(200, TOKEN, &[]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    let sidecar = Sidecar::start(service.port, &["-health", &place]);
    let (code, told, _) = sidecar.end();
    assert_eq!(code, Some(30));
    assert!(told.contains(&place), "{told}");
    let said = service
        .rest()
        .into_iter()
        .any(|message| message["Text"].as_str().is_some_and(|text| text.contains(&place)));
    assert!(said, "the service was told");
}

#[test]
fn events_name_the_trace_and_each_phase_a_span_of_its_own() {
    let service = Service::start(200, TOKEN, &[]);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let sidecar = Sidecar::start_with(service.port, &[], &[("TRACEPARENT", parent)]);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    agent.say(&Frame::ExecFinished);
    let (code, _, events) = sidecar.end();
    assert_eq!(code, Some(0));
    assert!(events.len() >= 5);
    let mut spans = Vec::new();
    for event in &events {
        assert_eq!(event["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736", "{event}");
        if event["event"] == "phase" {
            spans.push(event["span_id"].as_str().unwrap());
        }
    }
    let count = spans.len();
    spans.push("00f067aa0ba902b7");
    spans.sort_unstable();
    spans.dedup();
    assert_eq!(spans.len(), count + 1, "every span is new");
    assert_eq!(events.last().unwrap()["span_id"], "00f067aa0ba902b7", "the task's own");

    let sidecar = Sidecar::start_with(service.port, &[], &[("TRACEPARENT", "nonsense")]);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    agent.say(&Frame::ExecFinished);
    let (code, _, events) = sidecar.end();
    assert_eq!(code, Some(0), "a bad trace harms no task");
    assert!(events.iter().all(|event| event.get("trace_id").is_none()));
}
