//! `node agent`: one snapshot for everybody, limits, the end.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod node_common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use node_common::{Node, profile};
use serde_json::{Value, json};

struct Agent {
    _node: Node,
    child: Child,
    port: u16,
}

impl Agent {
    fn start(name: &str, args: &[&str]) -> Self {
        let node = Node::new(&profile(name));
        let mut command = node.command("agent", &["--listen", "127.0.0.1:0"]);
        Self::of(node, command.args(args))
    }

    /// Once it has a snapshot.
    fn of(node: Node, command: &mut std::process::Command) -> Self {
        let agent = Self::launch(node, command);
        let begin = Instant::now();
        while agent.ask("GET", "/readyz").0 != 200 {
            assert!(begin.elapsed() < Duration::from_secs(60), "no snapshot");
            std::thread::sleep(Duration::from_millis(50));
        }
        agent
    }

    /// Once it listens.
    fn launch(node: Node, command: &mut std::process::Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let place = line.trim().strip_prefix("http://127.0.0.1:").unwrap();
        let port = place.strip_suffix("/metrics").unwrap().parse().unwrap();
        Self { _node: node, child, port }
    }

    fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Status, head and body.
    fn ask(&self, method: &str, path: &str) -> (u16, String, String) {
        let mut stream = self.dial();
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), body.to_owned())
    }

    fn end(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(
            std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success()
        );
        self.child.wait().unwrap().code()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// GPUs that nothing keeps awake take their time, which a probe of the agent's life
/// must not wait for.
#[test]
fn before_the_first_snapshot_it_answers_that_there_is_none() {
    let mut slow = profile("h100x8");
    slow["faults"] = json!([{"call": "nvmlDeviceGetHandleByIndex_v2", "hang_s": 600}]);
    let node = Node::new(&slow);
    let mut command = node.command("agent", &["--listen", "127.0.0.1:0"]);
    let agent = Agent::launch(node, &mut command);
    for path in ["/metrics", "/report", "/readyz"] {
        let (status, _, body) = agent.ask("GET", path);
        assert_eq!(status, 503, "{path}");
        assert!(body.starts_with("no snapshot yet") && body.lines().count() == 1, "{body}");
    }
    let (status, _, body) = agent.ask("GET", "/healthz");
    assert_eq!((status, body.as_str()), (200, "ok\n"));
    assert_eq!(agent.end("-TERM"), Some(0));
}

/// The driver of a node may be installed after its agent.
#[test]
fn a_driver_that_comes_later_is_found() {
    let node = Node::new(&profile("h100x8"));
    let library = node.path().join("libnvidia-ml.so.1");
    let mut command = node.bare("agent", &["--listen", "127.0.0.1:0", "--nvml"]);
    let agent = Agent::of(node, command.arg(&library));
    let gauge = |agent: &Agent, name: &str| {
        let page = agent.ask("GET", "/metrics").2;
        let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        line.trim().to_owned()
    };
    assert_eq!(gauge(&agent, "osmo_node_gpu_driver_up "), "0");
    std::fs::copy(node_common::stub(), &library).unwrap();
    let begin = Instant::now();
    while gauge(&agent, "osmo_node_gpu_driver_up ") == "0" {
        assert!(begin.elapsed() < Duration::from_secs(60), "it is not looked for again");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(gauge(&agent, "osmo_node_gpus "), "8");
    assert_eq!(agent.end("-TERM"), Some(0));
}

#[test]
fn scrapes_between_two_snapshots_are_the_same_bytes() {
    let agent = Agent::start("h100x8", &["--dcgm"]);
    // A snapshot may fall between two scrapes, but not between all of ten.
    let twins = (0..10).any(|_| {
        let pages = [(); 2].map(|()| agent.ask("GET", "/report").2);
        let metrics = [(); 2].map(|()| agent.ask("GET", "/metrics").2);
        pages[0] == pages[1] && metrics[0] == metrics[1]
    });
    assert!(twins);
    let time = |agent: &Agent| -> Value {
        serde_json::from_str::<Value>(&agent.ask("GET", "/report").2).unwrap()["time"].clone()
    };
    let (first, begin) = (time(&agent), Instant::now());
    while time(&agent) == first {
        assert!(begin.elapsed() < Duration::from_secs(60), "a snapshot a second");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(agent.end("-TERM"), Some(0));
}

#[test]
fn paths_and_methods() {
    let agent = Agent::start("t4", &[]);
    let (status, head, body) = agent.ask("GET", "/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(body.contains("\nosmo_gpu_utilization_ratio{gpu=\"0\""), "{body}");
    assert!(!body.contains("DCGM"), "only with --dcgm");
    let (status, head, body) = agent.ask("GET", "/report");
    assert!(status == 200 && head.contains("content-type: application/json"), "{head}");
    let report: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(report["gpu"]["gpus"][0]["name"], "Tesla T4");
    assert_eq!(agent.ask("GET", "/healthz"), (200, agent.ask("GET", "/healthz").1, "ok\n".into()));
    let (status, _, body) = agent.ask("HEAD", "/metrics");
    assert_eq!((status, body.as_str()), (200, ""));
    let (status, head, _) = agent.ask("POST", "/metrics");
    assert!(status == 405 && head.contains("allow: get, head"), "{head}");
    assert_eq!(agent.ask("GET", "/etc/passwd").0, 404);
    let mut stream = agent.dial();
    write!(stream, "GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20)).ok();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    assert_eq!(agent.ask("GET", "/healthz").0, 200);
    assert_eq!(agent.end("-INT"), Some(0));
}

#[test]
fn the_33rd_connection_is_turned_away_and_the_idle_ones_end() {
    let agent = Agent::start("t4", &[]);
    let idle: Vec<TcpStream> = (0..32).map(|_| agent.dial()).collect();
    // Those were taken in the order of the queue, so this one finds no seat.
    let mut more = agent.dial();
    // An answer would come at once, were it let in.
    let _ = more.write_all(b"GET /healthz HTTP/1.1\r\nhost: node\r\n\r\n");
    let mut text = Vec::new();
    let turned = more.read_to_end(&mut text);
    assert!(text.is_empty() && turned.map_or(true, |n| n == 0));
    let begin = Instant::now();
    for mut stream in idle {
        let _ = stream.read_to_end(&mut text);
    }
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert_eq!(agent.ask("GET", "/healthz").0, 200);
}

#[test]
fn a_port_that_is_taken_is_a_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    let node = Node::new(&Value::Null);
    let output = node.bare("agent", &["--listen", &place]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    let begin = format!("osmo-controller: cannot listen at {place} (--listen): ");
    assert!(text.starts_with(&begin) && text.lines().count() == 1, "{text}");
}

/// CPU seconds and resident bytes of a process.
fn cost(pid: u32) -> (f64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<u64> = stat
        .rsplit(") ")
        .next()
        .unwrap()
        .split(' ')
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    ((fields[11] + fields[12]) as f64 / 100.0, kib << 10)
}

/// The bounds; run alone, and with `--release` for figures to tell.
#[test]
#[ignore = "takes half a minute of a quiet machine; see CONTRIBUTING.md"]
fn eight_gpus_cost_little() {
    const SECONDS: u32 = 30;
    let agent = Agent::start("h100x8", &["--dcgm"]);
    std::thread::sleep(Duration::from_secs(2));
    let before = cost(agent.child.id());
    for _ in 0..SECONDS {
        assert_eq!(agent.ask("GET", "/metrics").0, 200);
        std::thread::sleep(Duration::from_secs(1));
    }
    let after = cost(agent.child.id());
    let share = (after.0 - before.0) / f64::from(SECONDS) * 100.0;
    let told = format!("{share:.2} % of a core, {:.1} MiB", after.1 as f64 / f64::from(1 << 20));
    println!("{told}");
    assert!(share <= 0.5 && after.1 <= 20 << 20, "{told}");
}
