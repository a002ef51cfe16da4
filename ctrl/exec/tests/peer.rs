//! A sidecar that goes away and comes back, stops and starts the command, and
//! asks for ports.
#![allow(clippy::unwrap_used)]

mod play;

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use osmo_protocol::socket::{AgentState, Frame};
use play::{Agent, Sidecar, WATCHDOG, failed, out, text};

fn agent(seconds: &str, script: &str) -> Agent {
    Agent::start(&["-sidecarTimeout", seconds, "-commands", "sh", "-args", "-c", "-args", script])
}

fn numbers(lines: impl Iterator<Item = u64>) -> String {
    lines.map(|number| format!("{number}\n")).collect()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < WATCHDOG, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads until `count` lines came.
fn lines(sidecar: &mut Sidecar, count: usize) -> Vec<Frame> {
    (0..count).map(|_| sidecar.next().expect("more lines come")).collect()
}

#[test]
fn no_line_is_lost_when_the_sidecar_is_killed() {
    let script = "seq 1 3000; while [ ! -e go ]; do sleep 0.01; done; seq 3001 6000; exit 3";
    let agent = agent("60", script);
    let mut sidecar = agent.begin();
    assert_eq!(sidecar.state, AgentState::Waiting);
    assert_eq!(text(&lines(&mut sidecar, 1000)), numbers(1..=1000));
    sidecar.send(&Frame::LinesStored { lines: 500 });
    lines(&mut sidecar, 1500);
    sidecar.send(&Frame::LinesStored { lines: 900 });
    // Answered in order, so the acknowledgement was read.
    sidecar.send(&Frame::PortForward { port: 1 });
    while sidecar.next() != Some(Frame::PortRefused { port: 1 }) {}

    let mut sidecar = agent.accept_again(sidecar);
    assert_eq!(sidecar.state, AgentState::Running);
    fs::write(agent.path("go"), "").unwrap();
    assert_eq!(text(&lines(&mut sidecar, 1100)), numbers(901..=2000));
    // Lines are counted from this connection's begin.
    sidecar.send(&Frame::LinesStored { lines: 100 });
    sidecar.send(&Frame::PortForward { port: 1 });
    while sidecar.next() != Some(Frame::PortRefused { port: 1 }) {}

    let mut sidecar = agent.accept_again(sidecar);
    let mut frames = sidecar.rest();
    assert_eq!(frames.pop(), Some(failed("exit status 3", 3)));
    assert!(text(&frames) == numbers(1001..=6000));
    let (code, told) = agent.end();
    assert_eq!(code, Some(3));
    assert!(told.lines().all(|line| line.contains("the sidecar went away")), "{told}");
}

#[test]
fn a_full_store_pushes_back_on_the_command() {
    let agent = agent("60", "seq 1 60000; : > done");
    let mut sidecar = agent.begin();
    let mut frames = lines(&mut sidecar, 1);
    sidecar.send(&Frame::LinesStored { lines: 1 });
    frames.extend(lines(&mut sidecar, osmo_exec::KEPT_LINES_MAX));
    sidecar.stream.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    let mut byte = [0];
    let more = sidecar.stream.read(&mut byte);
    assert!(more.is_err(), "more than {} lines are on their way", frames.len());
    assert!(!agent.path("done").exists());
    sidecar.stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    while frames.last() != Some(&Frame::ExecFinished) {
        sidecar.send(&Frame::LinesStored { lines: frames.len() as u64 });
        frames.push(sidecar.next().unwrap());
    }
    assert!(text(&frames) == numbers(1..=60_000));
    assert_eq!(agent.end().0, Some(0));
}

#[test]
fn without_a_sidecar_the_oldest_lines_go_to_the_own_log() {
    let script = "echo first; while [ ! -e go ]; do sleep 0.01; done; seq 1 19000; : > done; \
                  while [ ! -e end ]; do sleep 0.01; done";
    let mut agent = agent("1", script);
    let mut sidecar = agent.begin();
    sidecar.wait_for("first");
    sidecar.send(&Frame::LinesStored { lines: 1 });
    sidecar.send(&Frame::PortForward { port: 1 });
    assert_eq!(sidecar.next(), Some(Frame::PortRefused { port: 1 }));
    drop(sidecar);
    fs::remove_file(agent.path("data/socket/data.sock")).unwrap();
    fs::write(agent.path("go"), "").unwrap();
    wait_until("the command is blocked", || agent.path("done").exists());
    let mut oldest = [0; 4];
    agent.child.stdout.as_mut().unwrap().read_exact(&mut oldest).unwrap();
    assert_eq!(&oldest, b"1\n2\n");

    let mut sidecar = agent.accept();
    fs::write(agent.path("end"), "").unwrap();
    let frames = sidecar.rest();
    let kept = text(&frames);
    let told = frames.iter().find_map(|frame| match frame {
        Frame::MessageOps(line) => Some(line.as_str()),
        _ => None,
    });
    let spilled: u64 = 19_000 - kept.lines().count() as u64;
    assert!(spilled > 0);
    assert_eq!(
        told,
        Some(&*format!(
            "osmo-ctrl was away: {spilled} lines are in this container's own log instead"
        ))
    );
    assert_eq!(kept, numbers(spilled + 1..=19_000));
    let (code, own) = agent.end();
    assert_eq!(code, Some(0));
    assert!(own.starts_with(&numbers(3..=spilled)), "{own}");
}

#[test]
fn an_end_without_a_sidecar_waits_for_one() {
    let agent =
        agent("60", "echo first; while [ ! -e go ]; do sleep 0.01; done; echo last; exit 6");
    let mut sidecar = agent.begin();
    sidecar.wait_for("first");
    drop(sidecar);
    fs::remove_file(agent.path("data/socket/data.sock")).unwrap();
    fs::write(agent.path("go"), "").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let mut sidecar = agent.accept();
    assert_eq!(sidecar.state, AgentState::Ended);
    assert_eq!(sidecar.rest(), [out("first"), out("last"), failed("exit status 6", 6)]);
    assert_eq!(agent.end().0, Some(6));
}

#[test]
fn a_sidecar_that_dies_before_the_start_may_come_back() {
    let agent = agent("60", "echo ran");
    let sidecar = agent.accept();
    let mut sidecar = agent.accept_again(sidecar);
    assert_eq!(sidecar.state, AgentState::Waiting);
    sidecar.send(&Frame::ExecStart { output_folder: String::new() });
    assert_eq!(sidecar.rest(), [out("ran"), Frame::ExecFinished]);
    assert_eq!(agent.end().0, Some(0));
}

#[test]
fn a_restart_runs_the_same_again() {
    let script = "echo run; sleep 1000 & echo x >> runs; [ $(wc -l < runs) = 3 ] && exit 0; wait";
    let agent = agent("60", script);
    let mut sidecar = agent.accept();
    // Never started: answered all the same.
    sidecar.send(&Frame::UserStop);
    assert_eq!(sidecar.next(), Some(Frame::UserStopFinished));
    sidecar.send(&Frame::ExecStart { output_folder: String::new() });
    for _ in 0..2 {
        sidecar.wait_for("run");
        wait_until("the run's mark", || agent.path("runs").exists());
        sidecar.send(&Frame::UserStop);
        assert_eq!(sidecar.next(), Some(Frame::UserStopFinished));
        sidecar.send(&Frame::UserStop);
        assert_eq!(sidecar.next(), Some(Frame::UserStopFinished));
        fs::write(agent.path("runs"), "x\n".repeat(2)).unwrap();
        sidecar.send(&Frame::UserStart);
    }
    assert_eq!(sidecar.rest(), [out("run"), Frame::ExecFinished]);
    assert_eq!(agent.end().0, Some(0));
}

#[test]
fn a_stopped_command_can_be_told_to_go() {
    let agent = agent("60", "echo ready; sleep 1000");
    let mut sidecar = agent.begin();
    sidecar.wait_for("ready");
    sidecar.send(&Frame::UserStop);
    assert_eq!(sidecar.next(), Some(Frame::UserStopFinished));
    let mut sidecar = agent.accept_again(sidecar);
    assert_eq!(sidecar.state, AgentState::Stopped);
    sidecar.wait_for("ready");
    sidecar.send(&Frame::Terminate { seconds: None });
    let told = "exit status 143 (ended by signal 15 SIGTERM)";
    assert_eq!(sidecar.rest(), [failed(told, 143)]);
    assert_eq!(agent.end().0, Some(143));
}

#[test]
fn ports_are_asked_on_both_addresses() {
    let agent = agent("60", "while [ ! -e go ]; do sleep 0.01; done");
    let mut sidecar = agent.begin();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(server) = TcpListener::bind(address) else { continue };
        let port = server.local_addr().unwrap().port();
        sidecar.send(&Frame::PortForward { port });
        assert_eq!(sidecar.next(), Some(Frame::PortReady { port }), "{address}");
        drop(server);
        sidecar.send(&Frame::PortForward { port });
        assert_eq!(sidecar.next(), Some(Frame::PortRefused { port }), "{address}");
    }
    fs::write(agent.path("go"), "").unwrap();
    assert_eq!(sidecar.rest(), [Frame::ExecFinished]);
    assert_eq!(agent.end().0, Some(0));
}

#[test]
fn shells_find_completion_and_history() {
    let line = "\nsource complete.bash 2>/dev/null || true\n";
    for (begun, want) in [
        (None, line.to_owned()),
        (Some("alias x=y"), format!("alias x=y{line}")),
        (Some("# complete.bash is here"), "# complete.bash is here".to_owned()),
    ] {
        let agent = Agent::prepared(&["-commands", "true"], |root| {
            fs::write(root.join("complete.bash"), "").unwrap();
            if let Some(begun) = begun {
                fs::write(root.join(".bashrc"), begun).unwrap();
            }
        });
        assert_eq!(agent.begin().rest(), [Frame::ExecFinished]);
        assert_eq!(fs::read_to_string(agent.path(".bashrc")).unwrap(), want);
        let mode = fs::metadata(agent.path("history")).unwrap().permissions().mode();
        assert_eq!(mode & 0o600, 0o600);
        assert_eq!(agent.end(), (Some(0), String::new()));
    }
    // Neither can be: a warning, and the command runs.
    let agent = Agent::prepared(&["-commands", "true"], |root| {
        fs::write(root.join("complete.bash"), "").unwrap();
        fs::create_dir(root.join(".bashrc")).unwrap();
        fs::create_dir(root.join("history")).unwrap();
    });
    assert_eq!(agent.begin().rest(), [Frame::ExecFinished]);
    let (code, told) = agent.end();
    assert_eq!((code, told.lines().count()), (Some(0), 2), "{told}");
}

#[test]
fn orphans_are_buried_while_the_command_runs() {
    let script = "for i in 1 2 3 4 5; do sh -c 'sleep 0.05 & sleep 0.05 &'; done; echo ready; \
                  while [ ! -e go ]; do sleep 0.01; done; exit 9";
    let agent = agent("60", script);
    let mut sidecar = agent.begin();
    sidecar.wait_for("ready");
    let pid = agent.child.id();
    let children = || fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    wait_until("orphans are left", || children().split_whitespace().count() == 1);
    fs::write(agent.path("go"), "").unwrap();
    assert_eq!(sidecar.rest(), [failed("exit status 9", 9)]);
    assert_eq!(agent.end().0, Some(9));
}

/// A service that is away must not stop the command for as long.
/// Nobody comes back to be told how many lines are in the container's own log.
#[test]
fn lines_that_no_sidecar_hears_of_are_counted_in_the_own_log() {
    let agent = agent("1", "echo first; while [ ! -e go ]; do sleep 0.01; done; seq 1 500");
    let mut sidecar = agent.begin();
    sidecar.wait_for("first");
    sidecar.send(&Frame::LinesStored { lines: 1 });
    sidecar.send(&Frame::PortForward { port: 1 });
    assert_eq!(sidecar.next(), Some(Frame::PortRefused { port: 1 }));
    drop(sidecar);
    fs::remove_file(agent.path("data/socket/data.sock")).unwrap();
    fs::write(agent.path("go"), "").unwrap();
    let (code, own) = agent.end();
    assert_eq!(code, Some(0));
    assert!(own.contains(&numbers(1..=500)), "{own}");
    assert!(own.contains("was not told that 500 lines are in this log only"), "{own}");
}

#[test]
fn a_sidecar_that_stores_nothing_holds_the_command_up_for_a_while_only() {
    const MORE: usize = 2_000;
    let count = osmo_exec::KEPT_LINES_MAX + MORE;
    let agent = agent("1", &format!("seq 1 {count}; exit 3"));
    let mut sidecar = agent.begin();
    let mut frames = lines(&mut sidecar, 1);
    // It does say what is stored; then the service goes away.
    sidecar.send(&Frame::LinesStored { lines: 1 });
    frames.extend(lines(&mut sidecar, count - 1));
    assert!(text(&frames) == numbers(1..=count as u64), "all of them, in order");
    assert_eq!(sidecar.next(), Some(failed("exit status 3", 3)), "and the end");
    // The service is back, and has them all.
    sidecar.send(&Frame::LinesStored { lines: count as u64 });
    let rest = sidecar.rest();
    let told: Vec<_> = rest.iter().map(|frame| format!("{frame:?}")).collect();
    let (code, log) = agent.end();
    assert_eq!(code, Some(3));
    // The oldest are in the container's own log, as many as had to make room.
    let here: Vec<u64> = log.lines().filter_map(|line| line.parse().ok()).collect();
    assert!((MORE as u64 - 64..=MORE as u64).contains(&(here.len() as u64)), "{}", here.len());
    assert!(here.iter().copied().eq(2..2 + here.len() as u64), "{here:?}");
    let word = format!("{} lines are in this container's own log", here.len());
    assert!(told.iter().any(|line| line.contains(&word)), "{told:?}");
}

/// A sidecar whose own queue is full drops its oldest lines, and counts them as
/// stored: that is no progress, and each must not cost another wait.
#[test]
fn lines_that_the_sidecar_drops_are_no_progress() {
    const QUEUE: u64 = 10_000;
    let agent = agent("1", "seq 1 20000; exit 3");
    let mut sidecar = agent.begin();
    for number in 1..=20_000 {
        assert_eq!(sidecar.next(), Some(out(&number.to_string())));
        if number == 1 || number > QUEUE {
            sidecar.send(&Frame::LinesStored { lines: number.saturating_sub(QUEUE).max(1) });
        }
    }
    assert_eq!(sidecar.next(), Some(failed("exit status 3", 3)));
    sidecar.send(&Frame::LinesStored { lines: 20_000 });
    sidecar.rest();
    assert_eq!(agent.end().0, Some(3));
}
