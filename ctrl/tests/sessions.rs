//! Sessions through the local service: the real sidecar, an agent and a user
//! played by the test.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::{Agent, Sidecar, WATCHDOG};
use futures_util::{SinkExt as _, StreamExt as _};
use osmo_controller::service::{LocalService, ServiceConfig, TaskIdentity, TaskKey};
use osmo_protocol::logger::{Action, Route};
use osmo_protocol::router::UdpSource;
use osmo_protocol::socket::Frame;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
const HANDOFF: &str = "0123456789abcdef";

/// A service and a sidecar whose command runs.
struct Pod {
    service: LocalService,
    sidecar: Sidecar,
    _folder: TempDir,
}

fn task() -> TaskKey {
    TaskKey { workflow: "wf-1".into(), task: "t1".into(), retry: 0 }
}

impl Pod {
    async fn start() -> Self {
        let service = LocalService::start(ServiceConfig::default()).await.unwrap();
        let TaskKey { workflow, task, retry } = task();
        let identity = TaskIdentity { workflow, group: "g".into(), task, retry, lead: true };
        let token = service.add_task(identity);
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, token).unwrap();
        let file = file.display().to_string();
        let sidecar = Sidecar::start(service.address().port(), &["-refreshToken", &file]);
        let mut agent = Agent::good(&sidecar);
        let socket = sidecar.socket();
        tokio::task::spawn_blocking(move || {
            agent.wait_for_start();
            std::thread::spawn(move || play(agent, &socket));
        })
        .await
        .unwrap();
        Self { service, sidecar, _folder: folder }
    }

    fn route(&self, key: &str) -> Route {
        let router_address = format!("ws://{}", self.service.address());
        Route { router_address, key: key.into(), cookie: "a=b; Path=/".into() }
    }

    fn act(&self, action: Action) {
        assert!(self.service.push_action(&task(), action));
    }

    async fn user(&self, kind: &str, key: &str) -> Socket {
        user(self.service.address(), &self.service.user_token(), kind, key).await
    }

    /// Open files of the sidecar.
    fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.sidecar.id())).unwrap().count()
    }

    /// Waits until no more files are open than `before`.
    async fn until_files(&self, before: usize) {
        let begin = Instant::now();
        while self.files() > before {
            assert!(begin.elapsed() < WATCHDOG, "{} files, {before} before", self.files());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Resident memory of the sidecar, KiB.
    fn resident_kib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.sidecar.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    async fn end(self) {
        // Long sessions and their pairs do not hold the end up.
        self.sidecar.signal("TERM");
        let (code, told, _) =
            tokio::task::spawn_blocking(move || self.sidecar.end()).await.unwrap();
        // An eviction has a code of its own; a crash or a hang has none.
        assert!(told.contains("was asked to stop"), "{code:?} {told}");
    }
}

/// Echoes terminals, answers probes, ends on `Terminate`.
fn play(mut agent: Agent, socket: &std::path::Path) {
    while let Some(frame) = agent.hear() {
        match frame {
            Frame::UserExecStart { session: Some(session), command } if command == "refused" => {
                agent.say(&Frame::TerminalEnded { session, code: 126 });
            }
            Frame::UserExecStart { session, .. } => {
                let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
                let mut hello = Frame::Hello { token: HANDOFF.into(), session }.encode();
                hello.extend_from_slice(b"$ ");
                stream.write_all(&hello).unwrap();
                std::thread::spawn(move || {
                    let mut buffer = [0; 65_536];
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        if buffer[..count].ends_with(b"\x04")
                            || stream.write_all(&buffer[..count]).is_err()
                        {
                            return;
                        }
                    }
                });
            }
            Frame::PortForward { port } => {
                let answer = match std::net::TcpStream::connect(("127.0.0.1", port)) {
                    Ok(_) => Frame::PortReady { port },
                    Err(_) => Frame::PortRefused { port },
                };
                agent.say(&answer);
            }
            Frame::Terminate { .. } => agent.say(&Frame::ExecFinished),
            _ => {}
        }
    }
}

async fn user(address: SocketAddr, token: &str, kind: &str, key: &str) -> Socket {
    let url = format!("ws://{address}/api/router/{kind}/wf-1/client/{key}");
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    tokio_tungstenite::connect_async(request).await.unwrap().0
}

async fn send(socket: &mut Socket, bytes: &[u8]) {
    socket.send(Message::binary(bytes.to_vec())).await.unwrap();
}

/// Binary bytes until there are `count`, or the end.
async fn read(socket: &mut Socket, count: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < count {
        match timeout(WATCHDOG, socket.next()).await.expect("something comes") {
            Some(Ok(Message::Binary(bytes))) => all.extend_from_slice(&bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            _ => break,
        }
    }
    all
}

/// A task's server that echoes.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminals_echo_end_with_their_program_and_with_their_user() {
    let pod = Pod::start().await;
    let exec = |key: &str| Action::Exec { route: pod.route(key), entry_command: "sh".into() };
    for (number, user_ends) in [(0, false), (1, true)] {
        let key = format!("EXEC-{number}");
        pod.act(exec(&key));
        let mut user = pod.user("exec", &key).await;
        send(&mut user, br#"{"Rows":24,"Cols":80}"#).await;
        send(&mut user, b"ls\n").await;
        let told = read(&mut user, 26).await;
        assert_eq!(String::from_utf8_lossy(&told), "$ {\"Rows\":24,\"Cols\":80}ls\n");
        match user_ends {
            true => user.close(None).await.unwrap(),
            false => {
                send(&mut user, b"\x04").await;
                assert_eq!(read(&mut user, 1).await, b"");
            }
        }
    }
    pod.end().await;
}

/// Long before the limit on its patience.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_that_the_agent_refuses_ends_at_once() {
    let pod = Pod::start().await;
    let (route, entry_command) = (pod.route("EXEC-1"), "refused".to_owned());
    pod.act(Action::Exec { route, entry_command });
    let mut user = pod.user("exec", "EXEC-1").await;
    send(&mut user, br#"{"Rows":24,"Cols":80}"#).await;
    let told = read(&mut user, 12).await;
    assert!(told.starts_with(b"No terminal:"), "{}", String::from_utf8_lossy(&told));
    pod.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_carries_many_connections_and_much() {
    const CONNECTIONS: usize = 400;
    let pod = Pod::start().await;
    let task_port = echo().await;
    pod.act(Action::PortForward { route: pod.route("PF"), task_port, use_udp: false });
    let mut control = pod.user("portforward", "PF").await;
    control.send(Message::binary("junk")).await.unwrap();
    // All at once: more than are dialled at a time.
    for number in 0..CONNECTIONS {
        let dial = format!(r#"{{"key": "PORTFORWARD-{number}", "cookie": "a=b; Path=/"}}"#);
        send(&mut control, dial.as_bytes()).await;
    }
    let mut users = Vec::new();
    for number in 0..CONNECTIONS {
        users.push(pod.user("portforward", &format!("PORTFORWARD-{number}")).await);
    }
    for (number, user) in users.iter_mut().enumerate() {
        let word = number.to_string();
        send(user, word.as_bytes()).await;
        assert_eq!(read(user, word.len()).await, word.as_bytes());
    }
    let (mut sink, mut stream) = users.pop().unwrap().split();
    let sent: Vec<u8> =
        (0..16_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let all = sent.clone();
    let writer = tokio::spawn(async move {
        for piece in all.chunks(4096) {
            sink.send(Message::binary(piece.to_vec())).await.unwrap();
        }
        sink
    });
    let mut got = Vec::new();
    while got.len() < sent.len() {
        if let Message::Binary(bytes) =
            timeout(WATCHDOG, stream.next()).await.unwrap().unwrap().unwrap()
        {
            assert!(bytes.len() <= 32 << 10);
            got.extend_from_slice(&bytes);
        }
    }
    assert!(got == sent, "the bytes differ");
    drop(writer.await.unwrap());
    pod.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_without_a_server_and_rsync_without_a_daemon_end_at_once() {
    let pod = Pod::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let task_port = closed.local_addr().unwrap().port();
    drop(closed);
    pod.act(Action::PortForward { route: pod.route("PF"), task_port, use_udp: false });
    let mut control = pod.user("portforward", "PF").await;
    send(&mut control, br#"{"key": "PORTFORWARD-1", "cookie": ""}"#).await;
    let mut user = pod.user("portforward", "PORTFORWARD-1").await;
    assert_eq!(read(&mut user, 1).await, b"");
    pod.act(Action::Rsync { route: pod.route("RS"), enable_telemetry: false });
    let mut control = pod.user("rsync", "RS").await;
    assert_eq!(read(&mut control, 1).await, b"");
    let begin = Instant::now();
    loop {
        let lines: Vec<_> =
            pod.service.logs(&task()).into_iter().map(|line| format!("{line:?}")).collect();
        if lines.iter().any(|line| line.contains("nobody listens"))
            && lines.iter().any(|line| line.contains("rsync does not run"))
        {
            break;
        }
        assert!(begin.elapsed() < WATCHDOG, "{lines:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    pod.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_find_their_way_back_to_each_source() {
    let pod = Pod::start().await;
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let task_port = server.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((count, from)) = server.recv_from(&mut buffer).await {
            let _ = server.send_to(&buffer[..count], from).await;
        }
    });
    pod.act(Action::PortForward { route: pod.route("UDP"), task_port, use_udp: true });
    let mut user = pod.user("portforward", "UDP").await;
    for short in [&b"abc"[..], b"12345"] {
        send(&mut user, short).await;
    }
    for message in [b"\x0a\x00\x00\x01\x1f\x90one", b"\x0a\x00\x00\x02\x1f\x90two"] {
        assert!(message.len() > UdpSource::LEN);
        send(&mut user, message).await;
        assert_eq!(read(&mut user, message.len()).await, message);
    }
    pod.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sessions_come_and_go() {
    const SESSIONS: usize = 10_000;
    const WARM: usize = 100;
    /// The allocator's own needs: half a KiB that each leaves behind is more.
    const GROWTH_KIB_MAX: u64 = 4 << 10;
    let pod = Pod::start().await;
    let files = pod.files();
    // The first ones fill the allocator's lists.
    come_and_go_from(&pod, 0, WARM).await;
    pod.until_files(files).await;
    let (begin, resident) = (Instant::now(), pod.resident_kib());
    come_and_go_from(&pod, WARM, WARM + SESSIONS).await;
    pod.until_files(files).await;
    let (after, took) = (pod.resident_kib(), begin.elapsed());
    println!(
        "{SESSIONS} sessions in {:.1} s; files {files} before, {} after; resident {resident} KiB \
         before, {after} after",
        took.as_secs_f64(),
        pod.files(),
    );
    assert!(after < resident + GROWTH_KIB_MAX, "{resident} KiB before, {after} after");
    pod.end().await;
}

/// Sessions one after the other; every other user vanishes without a close.
async fn come_and_go_from(pod: &Pod, from: usize, to: usize) {
    for number in from..to {
        let key = format!("EXEC-{number}");
        pod.act(Action::Exec { route: pod.route(&key), entry_command: "sh".into() });
        let mut user = pod.user("exec", &key).await;
        assert_eq!(read(&mut user, 2).await, b"$ ");
        if number % 2 == 0 {
            user.close(None).await.unwrap();
        }
    }
}
