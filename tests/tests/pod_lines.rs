//! Many lines on their way: in order, and at which rate beside a bare client
//! that sends the same frames over the same hops. A measurement, so ignored:
//!
//! `cargo test --release --workspace --test pod_lines -- --ignored --nocapture`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use osmo_controller::service::{LocalService, ServiceConfig, ServiceEvent, TaskIdentity};
use osmo_protocol::logger::{ClientFrame, Line, LineType, logger_path};
use osmo_protocol::socket::Frame;
use osmo_tests::program::Programs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));
const WATCHDOG: Duration = Duration::from_secs(120);
const LINES: usize = 100_000;
const ROUNDS: usize = 5;

/// A line of a training's log, of some hundred characters.
fn text(number: usize) -> String {
    format!(
        "{number} step={number} loss=0.{number:06} lr=3.0e-04 grad_norm=1.27 tokens/s=48211.5 mem=61.2GiB epoch=3/90"
    )
}

/// The one in the middle of an odd number.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// A task of a fresh service, behind a relay that counts what goes to it.
struct Bench {
    service: LocalService,
    refresh: String,
    port: u16,
    bytes: Arc<AtomicU64>,
    events: mpsc::Receiver<ServiceEvent>,
}

impl Bench {
    async fn new() -> Self {
        let service = LocalService::start(ServiceConfig::default()).await.unwrap();
        let identity = TaskIdentity {
            workflow: "wf-1".into(),
            group: "g".into(),
            task: "train".into(),
            retry: 0,
            lead: true,
        };
        let refresh = service.add_task(identity);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let bytes = Arc::new(AtomicU64::new(0));
        tokio::spawn(relay(listener, service.address().port(), Arc::clone(&bytes)));
        let events = service.subscribe();
        Self { service, refresh, port, bytes, events }
    }

    /// Waits for every line, in order; seconds since `begin`.
    async fn all(&mut self, begin: Instant) -> f64 {
        let mut next = 0;
        while next < LINES {
            let event = timeout(WATCHDOG, self.events.recv()).await.expect("lines come");
            if let ServiceEvent::Line { line, .. } = event.unwrap()
                && line.io_type == "STDOUT"
            {
                assert_eq!(line.text.as_ref(), text(next), "in order");
                next += 1;
            }
        }
        begin.elapsed().as_secs_f64()
    }
}

async fn relay(listener: TcpListener, port: u16, bytes: Arc<AtomicU64>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let service = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let bytes = Arc::clone(&bytes);
        tokio::spawn(async move {
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_service, mut to_service) = service.into_split();
            let back =
                tokio::spawn(
                    async move { tokio::io::copy(&mut from_service, &mut to_client).await },
                );
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                bytes.fetch_add(count as u64, Ordering::Relaxed);
                if to_service.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
            drop(to_service);
            let _ = back.await;
        });
    }
}

/// The bare client's rate, and its bytes.
async fn bare() -> (f64, u64) {
    let mut bench = Bench::new().await;
    let path = logger_path("wf-1", "train", 0);
    let mut request = format!("ws://127.0.0.1:{}{path}", bench.port).into_client_request().unwrap();
    let token = format!("Bearer {}", bench.service.sidecar_token());
    request.headers_mut().insert("authorization", token.parse().unwrap());
    let tcp = TcpStream::connect(("127.0.0.1", bench.port)).await.unwrap();
    let (socket, _) = tokio_tungstenite::client_async(request, tcp).await.unwrap();
    let frame = |number: usize| {
        let time = "2026-01-02T03:04:05.123456789Z".to_owned();
        let (source, io_type) = ("train".to_owned(), LineType::Stdout);
        ClientFrame::Line(Line { source, time, text: text(number), io_type }).encode()
    };
    let frames: Vec<String> = (0..LINES).map(frame).collect();
    let begin = Instant::now();
    let sending = tokio::spawn(async move {
        let (mut sink, mut stream) = socket.split();
        tokio::spawn(async move { while let Some(Ok(_)) = stream.next().await {} });
        for frame in frames {
            sink.feed(Message::text(frame)).await.unwrap();
        }
        sink.flush().await.unwrap();
        sink
    });
    let seconds = bench.all(begin).await;
    let _sink = sending.await.unwrap();
    (LINES as f64 / seconds, bench.bytes.load(Ordering::Relaxed))
}

fn start(folder: &Path, bench: &Bench) -> Child {
    for name in ["socket", "input", "output"] {
        std::fs::create_dir(folder.join(name)).unwrap();
    }
    std::fs::write(folder.join("socket/handoff"), "0123456789abcdef").unwrap();
    std::fs::write(folder.join("token"), &bench.refresh).unwrap();
    PROGRAMS
        .command("osmo-ctrl", ["-socketPath", "socket/data.sock", "-inputPath", "input"])
        .args(["-outputPath", "output", "-workflow", "wf-1", "-groupName", "g"])
        .args(["-logSource", "train", "-host", "127.0.0.1", "-port", &bench.port.to_string()])
        .args(["-refreshToken", "token", "-terminationLog", "termination", "-events", "json"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The sidecar's rate, and its bytes.
async fn sidecar() -> (f64, u64) {
    let mut bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    let mut child = start(folder.path(), &bench);
    let socket = folder.path().join("socket/data.sock");
    let mut agent = loop {
        match UnixStream::connect(&socket).await {
            Ok(agent) => break agent,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let hello = Frame::Hello { token: "0123456789abcdef".into(), session: None };
    agent.write_all(&hello.encode()).await.unwrap();
    assert!(agent.read(&mut [0; 4096]).await.unwrap() > 0, "the start");
    let lines: Vec<u8> =
        (0..LINES).flat_map(|number| Frame::MessageOut(text(number)).encode()).collect();
    let before = bench.bytes.load(Ordering::Relaxed);
    let begin = Instant::now();
    let (mut orders, mut words) = agent.into_split();
    let listening =
        tokio::spawn(
            async move { while orders.read(&mut [0; 4096]).await.is_ok_and(|n| n > 0) {} },
        );
    let speaking = tokio::spawn(async move {
        words.write_all(&lines).await.unwrap();
        words.write_all(&Frame::ExecFinished.encode()).await.unwrap();
        words
    });
    let seconds = bench.all(begin).await;
    let bytes = bench.bytes.load(Ordering::Relaxed) - before;
    drop(speaking.await.unwrap());
    // Nobody else reads the service's events from now on.
    drop(bench.events);
    let code = tokio::task::spawn_blocking(move || child.wait().unwrap().code()).await.unwrap();
    assert_eq!(code, Some(0));
    listening.abort();
    (LINES as f64 / seconds, bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo test --release --workspace --test pod_lines -- --ignored --nocapture"]
async fn a_hundred_thousand_lines_beside_a_bare_client() {
    let payload: usize = (0..LINES).map(|number| text(number).len()).sum();
    let frames: usize = (0..LINES)
        .map(|number| {
            let time = "2026-01-02T03:04:05.123456789Z".to_owned();
            let (source, io_type) = ("train".to_owned(), LineType::Stdout);
            ClientFrame::Line(Line { source, time, text: text(number), io_type }).encode().len()
        })
        .sum();
    let (mut ratios, mut sizes) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Whoever goes second finds a warmer machine: they take turns.
        let ((bare, bare_bytes), (ours, bytes)) = if round % 2 == 0 {
            let bare = bare().await;
            (bare, sidecar().await)
        } else {
            let ours = sidecar().await;
            (bare().await, ours)
        };
        println!(
            "pod lines: ctrl {ours:.0} lines/s, bare client {bare:.0} lines/s, ratio {:.2}; wire \
             {:.3} x frames, {:.3} x text (bare {:.3} x text)",
            ours / bare,
            bytes as f64 / frames as f64,
            bytes as f64 / payload as f64,
            bare_bytes as f64 / payload as f64,
        );
        ratios.push(ours / bare);
        sizes.push(bytes as f64 / frames as f64);
    }
    let (rate, size) = (median(ratios), median(sizes));
    println!("pod lines: median of {ROUNDS} rounds: rate {rate:.2}, wire {size:.3} x frames");
}
