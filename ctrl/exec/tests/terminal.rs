//! Terminals of the real program, against a sidecar and a user played by the
//! test.
#![allow(clippy::unwrap_used)]

mod play;

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use osmo_protocol::socket::Frame;
use osmo_protocol::terminal::Size;
use play::term::{Term, size};
use play::{Agent, Sidecar, WATCHDOG};

const LIVE: &str = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done";
const ASKS: Size = Size { rows: 24, cols: 80, exit_code: true };

/// An agent whose command lives until it is told to go.
fn begin() -> (Agent, Sidecar) {
    ready(Agent::shell(LIVE))
}

fn ready(agent: Agent) -> (Agent, Sidecar) {
    let mut sidecar = agent.begin();
    sidecar.wait_for("ready");
    (agent, sidecar)
}

fn end(agent: Agent, mut sidecar: Sidecar) {
    sidecar.send(&Frame::Terminate { seconds: None });
    assert_eq!(sidecar.rest().last(), Some(&Frame::ExecFinished));
    assert_eq!(agent.end(), (Some(0), String::new()));
}

fn shell(sidecar: &mut Sidecar, session: u64) -> Term {
    let mut term = sidecar.terminal("sh", session, ASKS);
    term.until("$ ");
    term
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < WATCHDOG, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Open files and children of the agent, without the command's.
fn held(agent: &Agent) -> (usize, usize) {
    let pid = agent.child.id();
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    (files, children.split_whitespace().count())
}

#[test]
fn a_program_s_end_and_code_are_told() {
    let (agent, mut sidecar) = begin();
    for (session, (command, shown, code)) in (1..).zip([
        ("sh -c 'echo \"a  b\"; exit 3'", "a  b\r\n", 3),
        ("sh -c 'kill -9 $$'", "", 137),
        ("printf %s\\ x 'y z'", "y z x", 0),
        (
            "nothing-like-it",
            "osmo-exec: cannot start `nothing-like-it`: no such program in PATH\r\n",
            127,
        ),
        ("sh -c 'echo", "osmo-exec: a quote or a backslash is open in `sh -c 'echo`\r\n", 126),
        ("", "osmo-exec: no command was given, for example bash\r\n", 126),
        ("   ", "osmo-exec: no command was given, for example bash\r\n", 126),
    ]) {
        let told = sidecar.terminal(command, session, ASKS).end();
        assert!(told.0.starts_with(shown) && told.1 == code, "{command}: {told:?}");
        assert_eq!(sidecar.next(), Some(Frame::TerminalEnded { session, code }));
    }
    // Whoever does not ask gets no marker.
    let term = sidecar.terminal("echo x", 99, size(1, 1));
    assert_eq!(term.rest(), b"x\r\n");
    assert_eq!(sidecar.next(), Some(Frame::TerminalEnded { session: 99, code: 0 }));
    end(agent, sidecar);
}

#[test]
fn the_environment_is_the_contract_s() {
    let (agent, mut sidecar) = begin();
    let (shown, _) = sidecar.terminal("env", 1, ASKS).end();
    let history = "history";
    for line in [
        "TERM=xterm",
        &format!("HISTFILE={history}"),
        "HISTSIZE=1000",
        "HISTFILESIZE=2000",
        "HISTCONTROL=ignoredups:ignorespace",
        "HISTIGNORE=",
        "PS1=\\$ ",
    ] {
        assert!(shown.contains(&format!("{line}\r\n")), "{line}: {shown}");
    }
    let path = std::env::var("PATH").unwrap();
    assert!(shown.contains(&format!("PATH={path}:/osmo/usr/bin\r\n")), "{shown}");
    end(agent, sidecar);
}

#[test]
fn sizes_reach_the_program() {
    let (agent, mut sidecar) = begin();
    let mut term = sidecar.terminal("sh", 1, size(24, 80));
    term.send(b"stty size\n");
    term.until("24 80\r\n");
    term.send(b"trap 'echo changed; stty size' WINCH; echo tra''pped\n");
    term.until("trapped\r\n");
    // Cut within the marker and within the value.
    for piece in [&b"\x00RES"[..], b"IZE:{\"Rows\":40,", b"\"Cols\":120}", b"\n"] {
        term.send(piece);
        std::thread::sleep(Duration::from_millis(20));
    }
    let shown = term.until("40 120\r\n");
    assert!(shown.contains("changed\r\n") && !shown.contains("RES"), "{shown:?}");
    term.send(b"exit\n");
    term.rest();

    let mut term = sidecar.terminal("stty size", 2, size(0, 0));
    term.until("0 0\r\n");
    end(agent, sidecar);
}

#[test]
fn control_keys_are_the_terminal_s() {
    let (agent, mut sidecar) = begin();
    let mut term = shell(&mut sidecar, 1);
    term.send(b"sleep 1000; echo code=$?\n");
    term.until("sleep 1000; echo code=$?\r\n");
    std::thread::sleep(Duration::from_millis(100));
    term.send(b"\x03");
    term.until("^C");
    term.send(b"echo st''ill\n");
    term.until("still\r\n");
    term.send(b"cat > got; cat got\n");
    term.until("cat got\r\n");
    // Control-Space alone is a NUL, and is not held back for ever.
    term.send(b"a\x00");
    term.until("^@");
    term.send(b"\n\x04");
    wait_until("the input's end", || fs::read(agent.path("got")).is_ok_and(|got| got == b"a\0\n"));
    term.send(b"exit 5\n");
    assert_eq!(term.end().1, 5);
    end(agent, sidecar);
}

#[test]
fn full_screen_bytes_pass_unchanged() {
    let (agent, mut sidecar) = begin();
    let every: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    fs::write(agent.path("screen"), &every).unwrap();
    let command = "sh -c 'stty raw -echo; printf \"\\033[?1049h\\033[2J\"; cat screen'";
    let shown = sidecar.terminal(command, 1, size(24, 80)).rest();
    let begin = b"\x1b[?1049h\x1b[2J";
    assert!(shown.starts_with(begin));
    assert!(shown[begin.len()..] == every);
    end(agent, sidecar);
}

#[test]
fn mebibytes_pass_both_ways() {
    const BYTES: usize = 4 << 20;
    let (agent, mut sidecar) = begin();
    let pasted: Vec<u8> = (0..BYTES).map(|at| b'a' + u8::try_from(at * 7 % 26).unwrap()).collect();
    let command = format!("sh -c 'stty raw -echo; echo ready; head -c {BYTES} | tee got'");
    let mut term = sidecar.terminal(&command, 1, size(24, 80));
    term.until("ready\n");
    term.seen.clear();
    let mut keyboard = term.stream.try_clone().unwrap();
    let typed = pasted.clone();
    let typist = std::thread::spawn(move || keyboard.write_all(&typed).unwrap());
    let shown = term.rest();
    typist.join().unwrap();
    assert!(shown == pasted, "{} bytes came back", shown.len());
    assert!(fs::read(agent.path("got")).unwrap() == pasted);
    end(agent, sidecar);
}

#[test]
fn a_user_who_leaves_frees_everything() {
    let (agent, mut sidecar) = begin();
    // One that ignores the hang-up, behind a shell, and reads nothing.
    let mut term = shell(&mut sidecar, 1);
    term.send(b"sh -c 'trap \"\" HUP; echo pid=$$.; sleep 1000; sleep 1000'\n");
    let shown = term.until(".\r\n");
    let pid = shown.rsplit_once("pid=").unwrap().1.split_once('.').unwrap().0.to_owned();
    assert!(alive(&pid));
    // More than a terminal holds: the agent is blocked in writing.
    term.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let _ = term.stream.write_all(&vec![b'x'; 1 << 20]);
    drop(term);
    wait_until("the program was left running", || !alive(&pid));
    let gone = sidecar.next();
    assert!(matches!(gone, Some(Frame::TerminalEnded { session: 1, .. })), "{gone:?}");
    end(agent, sidecar);
}

#[test]
fn two_hundred_terminals_leave_nothing() {
    let (agent, mut sidecar) = begin();
    shell(&mut sidecar, 0);
    assert!(matches!(sidecar.next(), Some(Frame::TerminalEnded { session: 0, .. })));
    let before = held(&agent).0;
    for round in 0..5 {
        let terms: Vec<Term> =
            (1..=40).map(|at| sidecar.terminal("cat", round * 40 + at, ASKS)).collect();
        drop(terms);
        for _ in 0..40 {
            let told = sidecar.next();
            assert!(matches!(told, Some(Frame::TerminalEnded { .. })), "{told:?}");
        }
    }
    wait_until("files or children are left", || {
        let (files, children) = held(&agent);
        files <= before && children <= 1
    });
    end(agent, sidecar);
}

#[test]
fn one_more_than_the_limit_is_refused() {
    let (agent, mut sidecar) = begin();
    let limit = osmo_exec::TERMINALS_MAX as u64;
    let terms: Vec<Term> = (0..limit).map(|at| sidecar.terminal("cat", at, ASKS)).collect();
    let (told, code) = sidecar.terminal("cat", limit, ASKS).end();
    assert_eq!((told.as_str(), code), ("osmo-exec: 64 terminals are open: close one\r\n", 126));
    drop(terms);
    end(agent, sidecar);
}

/// Whoever asked for it can tell an end from a cut.
#[test]
fn an_exit_code_is_promised_to_whoever_asked() {
    let (agent, mut sidecar) = begin();
    let asked = sidecar.terminal("echo hi", 1, ASKS).rest();
    assert_eq!(String::from_utf8_lossy(&asked), "\0EXIT:{}hi\r\n\0EXIT:{\"Code\":0}");
    let silent = sidecar.terminal("echo hi", 2, size(24, 80)).rest();
    assert_eq!(String::from_utf8_lossy(&silent), "hi\r\n");
    end(agent, sidecar);
}

#[test]
fn a_descendant_that_holds_the_terminal_does_not_hold_it_open() {
    let (agent, mut sidecar) = begin();
    let command = "sh -c 'trap \"\" HUP; sleep 1000 & echo $!; seq 20000; exit 4'";
    let (shown, code) = sidecar.terminal(command, 1, ASKS).end();
    assert_eq!(code, 4);
    let (sleeper, lines) = shown.split_once("\r\n").unwrap();
    let want: String = (1..=20_000).map(|number| format!("{number}\r\n")).collect();
    assert!(lines == want);
    assert!(alive(sleeper), "a background job lives on");
    end(agent, sidecar);
    wait_until("the background job outlived the command", || !alive(sleeper));
}

#[test]
fn the_command_s_end_ends_the_terminals() {
    let (agent, mut sidecar) = begin();
    let mut term = sidecar.terminal("sh -c 'echo $$; cat'", 1, ASKS);
    let pid = term.until("\r\n").trim().to_owned();
    sidecar.send(&Frame::Terminate { seconds: None });
    let (shown, code) = term.end();
    assert!(shown.ends_with("\r\nosmo-exec: the task's command has ended\r\n"), "{shown:?}");
    assert_eq!(code, 129);
    assert_eq!(sidecar.rest().last(), Some(&Frame::ExecFinished));
    assert!(!alive(&pid));
    assert_eq!(agent.end().0, Some(0));
}

#[test]
fn another_sidecar_gets_raw_bytes_and_a_bad_begin_is_told() {
    let (agent, mut sidecar) = begin();
    sidecar.send(&Frame::UserExecStart { command: "echo raw".into(), session: None });
    let mut term = Term { stream: sidecar.second(), seen: Vec::new() };
    // The first keys may come with the size, as the real client sends it.
    term.send(b"{\"Rows\": 24, \"Cols\": 80}keys");
    let shown = String::from_utf8(term.rest()).unwrap();
    assert!(shown.contains("raw\r\n") && !shown.contains("Hello"), "{shown:?}");

    sidecar.send(&Frame::UserExecStart { command: "echo raw".into(), session: None });
    let mut term = Term { stream: sidecar.second(), seen: Vec::new() };
    term.send(b"keys");
    let told = "osmo-exec: the terminal's stream does not begin with a window size\r\n";
    assert_eq!(String::from_utf8(term.rest()).unwrap(), told);
    end(agent, sidecar);
}

#[test]
fn a_terminal_sees_what_the_command_sees() {
    if !play::binds_work() {
        return;
    }
    let agent =
        Agent::start(&["-bind", ".:/osmo", "-commands", "sh", "-args", "-c", "-args", LIVE]);
    fs::write(agent.path("data/input/x"), "input\n").unwrap();
    let (agent, mut sidecar) = ready(agent);
    let term = sidecar.terminal("sh -c 'cat /osmo/data/input/x; tty; test -t 0'", 1, ASKS);
    let (shown, code) = term.end();
    assert!(shown.starts_with("input\r\n/dev/pts/") && code == 0, "{shown:?} {code}");
    end(agent, sidecar);
}
