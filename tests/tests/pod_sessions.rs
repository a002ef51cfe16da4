//! Sessions of a living pod whose other ends go wrong; the table in
//! `docs/OPERATIONS.md` names these tests. Agent and sidecar are real, the user
//! and a spoilt way to the router are played here.

#![allow(clippy::unwrap_used)]

#[path = "pod_faults/pod.rs"]
mod pod;
#[path = "pod_sessions/user.rs"]
mod user;

use std::time::Duration;

use osmo_controller::service::ServiceConfig;
use osmo_protocol::logger::Action;
use osmo_tests::wire::Wire;
use pod::{Pod, code, signal};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Child;
use user::{User, left, read_until, send};

const TERMINALS: &str = "osmo_sessions{kind=\"terminal\"}";

/// A pod whose command runs until there is a file `gate`.
struct Living {
    pod: Pod,
    ctrl: Child,
    exec: Child,
}

impl Living {
    async fn start() -> Self {
        Self::playing(Pod::exec).await
    }

    async fn playing(exec: impl FnOnce(&Pod, &str) -> Child) -> Self {
        // A router that never loses patience hides no user who is left waiting.
        let config = ServiceConfig {
            connections_max: 4_096,
            pair_wait: Duration::from_secs(3_600),
            ..ServiceConfig::default()
        };
        let pod = Pod::with(config).await;
        let ctrl = pod.ctrl(&pod.health());
        let gate = pod.path("gate");
        let script = format!("echo runs; until [ -e {} ]; do sleep 0.05; done", gate.display());
        let exec = exec(&pod, &script);
        let living = Self { pod, ctrl, exec };
        // What the agent says before the command's first line is known then.
        living.pod.until("the command runs", |_| living.said("runs") == 1).await;
        living
    }

    fn terminal(&self, user: &User, command: &str) {
        let action = Action::Exec { route: user.route.clone(), entry_command: command.into() };
        assert!(self.pod.service.push_action(&self.pod.key, action));
    }

    fn port(&self, user: &User, task_port: u16) {
        let action = Action::PortForward { route: user.route.clone(), task_port, use_udp: false };
        assert!(self.pod.service.push_action(&self.pod.key, action));
    }

    /// Lines of the sidecar that contain `text`.
    fn said(&self, text: &str) -> usize {
        let lines = self.pod.service.logs(&self.pod.key);
        lines.iter().filter(|line| line.text.contains(text)).count()
    }

    /// The command ends, all is well, and nothing is left.
    async fn end(mut self) -> Pod {
        std::fs::write(self.pod.path("gate"), "").unwrap();
        assert_eq!((code(&mut self.ctrl).await, code(&mut self.exec).await), (Some(0), Some(0)));
        self.pod.assert_over(0).await;
        self.pod
    }
}

/// The agent stands still, so that the terminal stays on its way.
#[tokio::test]
async fn a_user_who_leaves_while_the_terminal_opens_frees_the_seat() {
    let living = Living::start().await;
    let user = User::new(&living.pod, "EXEC-1", None);
    signal(&living.exec, Signal::STOP);
    living.terminal(&user, "sh");
    let mut socket = user.dial("exec").await;
    send(&mut socket, br#"{"Rows":24,"Cols":80}"#).await;
    living.pod.until_gauge(TERMINALS, |open| open == 1.0).await;
    socket.close(None).await.unwrap();
    living.pod.until_gauge(TERMINALS, |open| open == 0.0).await;
    signal(&living.exec, Signal::CONT);
    living.end().await;
}

/// What is typed before the agent answers is the terminal's all the same.
#[tokio::test]
async fn keys_that_come_before_the_terminal_reach_it() {
    let living = Living::start().await;
    let user = User::new(&living.pod, "EXEC-1", None);
    signal(&living.exec, Signal::STOP);
    living.terminal(&user, "sh");
    let mut socket = user.dial("exec").await;
    send(&mut socket, br#"{"Rows":24,"Cols":80}"#).await;
    send(&mut socket, b"echo $((6*7))th; exit\n").await;
    living.pod.until_gauge(TERMINALS, |open| open == 1.0).await;
    signal(&living.exec, Signal::CONT);
    read_until(&mut socket, "42th").await;
    living.end().await;
}

/// A router that takes no token is believed once a fresh one was tried.
#[tokio::test]
async fn a_router_that_takes_no_token_is_not_asked_ten_times() {
    let living = Living::start().await;
    let router = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let user = User::new(&living.pod, "EXEC-1", Some(router.local_addr().unwrap()));
    let dials = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = std::sync::Arc::clone(&dials);
    let answering = tokio::spawn(async move {
        loop {
            let (mut stream, _) = router.accept().await.unwrap();
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let no = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(no).await.unwrap();
        }
    });
    living.terminal(&user, "sh");
    living.pod.until("it is told", |_| living.said("Cannot reach the router") == 1).await;
    assert_eq!(dials.load(std::sync::atomic::Ordering::Relaxed), 2);
    assert_eq!(living.said("401"), 1);
    answering.abort();
    living.end().await;
}

/// A router that answers nobody holds seats of its own session only.
#[tokio::test]
async fn a_silent_router_takes_no_seat_from_others() {
    const DIALS: usize = 1_100;
    let living = Living::start().await;
    let wire = Wire::to(living.pod.service.address()).await;
    let task = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let task_port = task.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = task.accept().await {
            let _ = stream.write_all(b"hello").await;
        }
    });
    let spoilt = User::new(&living.pod, "PORTFORWARD-A", Some(wire.address()));
    living.port(&spoilt, task_port);
    let mut control = spoilt.dial("portforward").await;
    let begin = wire.connections();
    living.pod.until("it has dialled", |_| begin == 1 || wire.connections() == 1).await;
    wire.swallow_new();
    for number in 0..DIALS {
        let dial = format!(r#"{{"key": "DEAD-{number}", "cookie": ""}}"#);
        send(&mut control, dial.as_bytes()).await;
    }
    let connections = "osmo_session_connections{kind=\"tcp\"}";
    living.pod.until_gauge(connections, |open| open == 128.0).await;

    let good = User::new(&living.pod, "PORTFORWARD-B", None);
    living.port(&good, task_port);
    let mut other = good.dial("portforward").await;
    send(&mut other, br#"{"key": "LIVE-1", "cookie": ""}"#).await;
    let live = User::new(&living.pod, "LIVE-1", None);
    let mut socket = live.dial("portforward").await;
    read_until(&mut socket, "hello").await;

    // Its dials end with its control pair, and not when their time is up.
    control.close(None).await.unwrap();
    living.pod.until_gauge(connections, |open| open <= 1.0).await;
    other.close(None).await.unwrap();
    drop((socket, wire));
    living.end().await;
}

/// More than are turned away at once are, over a router that answers nobody.
#[tokio::test]
async fn a_user_who_is_refused_is_told_also_behind_others() {
    const SEATS: usize = 64;
    const OTHERS: usize = 80;
    let living = Living::start().await;
    let wire = Wire::to(living.pod.service.address()).await;
    wire.swallow_new();
    signal(&living.exec, Signal::STOP);
    let mut seated = Vec::new();
    for number in 0..SEATS {
        let user = User::new(&living.pod, &format!("EXEC-{number}"), None);
        living.terminal(&user, "sh");
        seated.push(user.dial("exec").await);
    }
    living.pod.until_gauge(TERMINALS, |open| open == 64.0).await;
    for number in 0..OTHERS {
        living.terminal(
            &User::new(&living.pod, &format!("DEAD-{number}"), Some(wire.address())),
            "sh",
        );
    }
    living.pod.until("they are refused", |_| living.said("Too many sessions") == OTHERS).await;
    let user = User::new(&living.pod, "EXEC-LAST", None);
    living.terminal(&user, "sh");
    let mut socket = user.dial("exec").await;
    left(&mut socket).await;
    assert_eq!(living.said("EXEC-LAST is refused"), 1);
    drop(seated);
    signal(&living.exec, Signal::CONT);
    living.end().await;
}

/// The pair's packets vanish; neither side is told.
#[tokio::test]
async fn a_router_that_falls_silent_ends_the_terminal() {
    let living = Living::start().await;
    let wire = Wire::to(living.pod.service.address()).await;
    let user = User::new(&living.pod, "EXEC-1", Some(wire.address()));
    let mark = living.pod.path("typed").display().to_string();
    living.terminal(&user, "sh");
    let mut socket = user.dial("exec").await;
    send(&mut socket, br#"{"Rows":24,"Cols":80}"#).await;
    let runs = format!("sh -c 'echo $((6*7)); sleep 86399; : {mark}'\n");
    send(&mut socket, runs.as_bytes()).await;
    read_until(&mut socket, "42\r\n").await;
    wire.swallow();
    living.pod.until_gauge(TERMINALS, |open| open == 0.0).await;
    // What it ran is gone with it, and another one works.
    living.pod.until("it ran on", |pod| !pod.runs(&mark)).await;
    let user = User::new(&living.pod, "EXEC-2", Some(wire.address()));
    living.terminal(&user, "echo $((7*7))");
    let mut socket = user.dial("exec").await;
    send(&mut socket, br#"{"Rows":24,"Cols":80}"#).await;
    left(&mut socket).await;
    living.end().await;
}

/// The router is away before a session, and comes; and it goes in the middle of
/// one, whose seat is free at once.
#[tokio::test]
async fn a_router_that_goes_away_ends_its_sessions_and_serves_the_next() {
    let living = Living::start().await;
    let wire = Wire::to(living.pod.service.address()).await;
    let user = User::new(&living.pod, "EXEC-1", Some(wire.address()));
    wire.swallow_new();
    living.terminal(&user, "sh");
    living.pod.until("it dials", |_| wire.connections() == 1).await;
    wire.carry();
    wire.cut();
    let mut socket = user.dial("exec").await;
    send(&mut socket, br#"{"Rows":24,"Cols":80}"#).await;
    send(&mut socket, b"echo $((6*7))\n").await;
    read_until(&mut socket, "42").await;
    wire.cut();
    living.pod.until_gauge(TERMINALS, |open| open == 0.0).await;
    left(&mut socket).await;
    living.end().await;
}

/// Its terminals go with it, and the next one has its own.
#[tokio::test]
async fn a_sidecar_killed_under_a_terminal_leaves_none_behind() {
    let mut living = Living::start().await;
    let mark = living.pod.path("typed").display().to_string();
    let user = User::new(&living.pod, "EXEC-1", None);
    living.terminal(&user, "sh");
    let mut socket = user.dial("exec").await;
    send(&mut socket, br#"{"Rows":24,"Cols":80}"#).await;
    let runs = format!("sh -c 'echo $((6*7)); sleep 86399; : {mark}'\n");
    send(&mut socket, runs.as_bytes()).await;
    read_until(&mut socket, "42\r\n").await;
    living.ctrl.kill().await.unwrap();
    left(&mut socket).await;
    living.pod.until("it ran on", |pod| !pod.runs(&mark)).await;
    living.ctrl = living.pod.ctrl(&living.pod.health());
    living.pod.until_gauge("osmo_phase_info{phase=\"run\"}", |value| value == 1.0).await;
    let user = User::new(&living.pod, "EXEC-2", None);
    living.terminal(&user, "sh");
    let mut socket = user.dial("exec").await;
    send(&mut socket, br#"{"Rows":24,"Cols":80}"#).await;
    send(&mut socket, b"echo $((7*7))\n").await;
    read_until(&mut socket, "49").await;
    living.end().await;
}

/// A user who reads nothing holds the program up, and costs no memory.
#[tokio::test]
async fn a_user_who_reads_nothing_holds_the_program_up_and_loses_nothing() {
    const RESIDENT: &str = "process_resident_memory_bytes";
    const LINES: usize = 4_000_000;
    let living = Living::start().await;
    let wire = Wire::to(living.pod.service.address()).await;
    let user = User::new(&living.pod, "EXEC-1", Some(wire.address()));
    let done = living.pod.path("done");
    living.terminal(&user, "sh");
    let mut socket = user.dial("exec").await;
    send(&mut socket, br#"{"Rows":24,"Cols":80}"#).await;
    send(&mut socket, b"echo $((6*7))\n").await;
    read_until(&mut socket, "42").await;
    let before = living.pod.gauge(RESIDENT).await.unwrap();
    wire.hold();
    let script = format!("stty -onlcr; seq {LINES}; touch {}\n", done.display());
    send(&mut socket, script.as_bytes()).await;
    wire.carry();
    let mut all = read_until(&mut socket, "\n1000\n").await;
    wire.hold();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!done.exists(), "nothing held it up");
    let held = living.pod.gauge(RESIDENT).await.unwrap();
    assert!(held - before < 8e6, "{before} bytes before, {held} held up");
    wire.carry();
    all += &read_until(&mut socket, &format!("\n{LINES}\n")).await;
    let numbers = all.lines().filter_map(|line| line.parse::<usize>().ok());
    let numbers: Vec<usize> = numbers.skip_while(|number| *number != 1).collect();
    assert!(numbers.iter().copied().eq(1..=LINES), "{} lines", numbers.len());
    socket.close(None).await.unwrap();
    living.end().await;
}

/// What the daemon moved is told at the end also of a session that is still
/// open then.
#[tokio::test]
async fn what_an_open_rsync_moved_is_told_at_the_end() {
    if !rsync_is_here() {
        return;
    }
    let living = Living::playing(Pod::exec_with_rsync).await;
    let user = User::new(&living.pod, "RSYNC-1", None);
    let action = Action::Rsync { route: user.route.clone(), enable_telemetry: true };
    assert!(living.pod.service.push_action(&living.pod.key, action));
    let mut control = user.dial("rsync").await;
    send(&mut control, br#"{"key": "PORTFORWARD-1", "cookie": ""}"#).await;
    let mut socket = User::new(&living.pod, "PORTFORWARD-1", None).dial("portforward").await;
    // The daemon greets first, and then waits.
    let greeting = read_until(&mut socket, "\n").await;
    assert!(greeting.starts_with("@RSYNCD: "), "{greeting:?}");
    send(&mut socket, b"@RSYNCD: 27\n").await;
    let pod = living.end().await;
    let moved = pod.service.metrics("wf-1");
    let bytes = |kind: &str| {
        let of = moved.iter().filter(|io| io.kind == kind);
        of.map(|io| (io.size * f64::from(1 << 30)).round()).collect::<Vec<_>>()
    };
    assert_eq!(bytes("RSYNC_INPUT"), [12.0], "{moved:?}");
    // The rest is what the daemon says to a client that leaves.
    assert!(bytes("RSYNC_OUTPUT")[0] >= f64::from(u32::try_from(greeting.len()).unwrap()));
}

fn rsync_is_here() -> bool {
    let here = std::process::Command::new("rsync").arg("--version").output().is_ok();
    if !here {
        osmo_tests::skip::skip("there is no rsync");
    }
    here
}
