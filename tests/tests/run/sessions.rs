//! Inside a running task: a real run, the real programs, curl and tmux.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::live::{Live, UNTIL_DONE, WATCHDOG, free_port, has, text};

#[test]
fn a_command_in_a_task_gives_its_output_and_its_code() {
    let live = Live::start(UNTIL_DONE);
    let output = live.exec("echo $((40 + 2)) in $PWD; tty; exit 3");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.contains("42 in ") && shown.contains("/dev/pts/"), "{shown}");
    assert_eq!(live.exec("kill -9 $$").status.code(), Some(128 + 9));
    assert_eq!(live.exec("touch /osmo/output/done").status.code(), Some(0));
    assert_eq!(live.end(), Some(0));
}

#[test]
fn a_port_of_a_task_is_reached_by_curl() {
    if !has("curl") {
        return;
    }
    let port = free_port();
    let serve = format!(
        "head -c 16777216 /dev/urandom >/osmo/run/file\n      \
        python3 -m http.server --bind 127.0.0.1 --directory /osmo/run {port} >/osmo/run/log 2>&1 &\n      \
        {UNTIL_DONE}"
    );
    let live = Live::start(&serve);
    let sum =
        live.exec("until sha256sum /osmo/run/file; do sleep 0.1; done; sha256sum </osmo/run/file");
    let sum = text(&sum.stdout).lines().last().unwrap()[..64].to_owned();
    live.exec(&format!(
        "until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))'; do sleep 0.2; done"
    ));
    let mut forward = live
        .osmo(&["port-forward", "live-1", "only", &format!("0:{port}")])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(forward.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let local = line.split(" -> ").next().unwrap().rsplit(' ').next().unwrap().to_owned();
    let fetched = Command::new("sh")
        .args(["-c", &format!("curl -sf http://{local}/file | sha256sum")])
        .output()
        .unwrap();
    assert_eq!(text(&fetched.stdout)[..64], sum, "{line}");
    let many = format!(
        "for i in $(seq 40); do curl -sf -o /dev/null -w '%{{http_code}}\\n' http://{local}/log & done; wait"
    );
    let codes = text(&Command::new("sh").args(["-c", &many]).output().unwrap().stdout);
    assert_eq!(codes.lines().filter(|code| *code == "200").count(), 40, "{codes}");
    let interrupt = Command::new("kill").args(["-INT", &forward.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    assert_eq!(forward.wait().unwrap().code(), Some(0));
    live.exec("touch /osmo/output/done");
    assert_eq!(live.end(), Some(0));
}

/// A tmux server, which lives on by itself.
struct Server(std::path::PathBuf);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(&self.0).arg("kill-server").output();
    }
}

#[test]
fn a_full_screen_survives_tmux_and_a_resize() {
    if !has("tmux") {
        return;
    }
    let live = Live::start(UNTIL_DONE);
    let socket = live.desk.state.path().join("tmux");
    let server = Server(socket.clone());
    let tmux = |words: &[&str]| {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&socket).args(["-f", "/dev/null"]).args(words);
        let output = command.env("TERM", "xterm").env_remove("TMUX").output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let program = live.osmo(&["exec", "live-1", "only"]);
    // Under its own name, which a shell cannot give it.
    let own = live.desk.state.path().join("osmo");
    std::os::unix::fs::symlink(program.get_program(), &own).unwrap();
    let line = format!("{} exec --login {} live-1 only; sleep 60", own.display(), live.login());
    tmux(&["new-session", "-d", "-x", "80", "-y", "24", &line]);
    tmux(&["set", "-g", "status", "off"]);
    let screen = |wanted: &dyn Fn(&str) -> bool| {
        let begun = Instant::now();
        loop {
            let screen = tmux(&["capture-pane", "-p"]);
            if wanted(&screen) {
                return screen;
            }
            assert!(begun.elapsed() < WATCHDOG, "the screen is:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    screen(&|screen| screen.contains(['$', '#']));
    tmux(&["send-keys", "printf '\\033[2J\\033[5;10HX marks it\\033[9;1H'", "Enter"]);
    let shown = screen(&|screen| screen.contains("X marks it\n") && !screen.contains("printf"));
    assert_eq!(shown.lines().nth(4).unwrap().trim_end(), "         X marks it");
    tmux(&["resize-window", "-x", "100", "-y", "30"]);
    tmux(&["send-keys", "stty size", "Enter"]);
    screen(&|screen| screen.contains("30 100"));
    // Seen to run: before, a shell takes the key for itself.
    tmux(&["send-keys", "sh -c 'echo g$((1))o; exec sleep 100'", "Enter"]);
    screen(&|screen| screen.contains("g1o"));
    tmux(&["send-keys", "C-c", ""]);
    tmux(&["send-keys", "echo after-$((1+1))", "Enter"]);
    screen(&|screen| screen.contains("after-2\n"));
    drop(server);
    live.exec("touch /osmo/output/done");
    assert_eq!(live.end(), Some(0));
}

#[test]
fn lines_are_followed_to_the_end_and_sessions_end_with_the_run() {
    let live = Live::start("sleep 1; for i in 1 2 3; do echo line $i; sleep 0.2; done; sleep 2");
    let logs = live.osmo(&["logs", "live-1", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let exec = live.osmo(&["exec", "live-1", "only", "--", "sleep", "600"]).spawn().unwrap();
    let shown = text(&logs.wait_with_output().unwrap().stdout);
    for line in ["ready", "line 1", "line 2", "line 3"] {
        assert_eq!(shown.matches(&format!("[only] {line}\n")).count(), 1, "{shown}");
    }
    let ended = exec.wait_with_output().unwrap().status;
    assert!(!ended.success(), "{ended}");
    assert_eq!(live.end(), Some(0));
}
