//! A workflow at work, and the ways into its task.

use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use osmo_tests::skip::skip;

use super::desk::{Desk, PROGRAMS};

pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

/// A workflow at work, and how to reach it.
pub(crate) struct Live {
    pub(crate) desk: Desk,
    run: Option<Child>,
}

impl Live {
    /// Runs `script` after it has said that it is ready.
    pub(crate) fn start(script: &str) -> Self {
        Self::start_with(script, &[])
    }

    pub(crate) fn start_with(script: &str, flags: &[&str]) -> Self {
        let desk = Desk::new();
        let text = format!(
            "workflow:\n  name: live\n  tasks:\n  - name: only\n    image: any\n    \
             command: [sh, -c]\n    args:\n    - |\n      echo ready\n      {script}\n"
        );
        let run = desk.start_text(&text, &[&["--quiet"], flags].concat());
        Self { desk, run: Some(run) }
    }

    pub(crate) fn login(&self) -> String {
        self.desk.state.path().join("service/login.yaml").to_str().unwrap().to_owned()
    }

    /// `osmo`; the first word is the command, which may have two parts.
    pub(crate) fn osmo(&self, words: &[&str]) -> Command {
        let (name, rest) = words.split_first().unwrap();
        let mut command = PROGRAMS.command("osmo", name.split(' '));
        command
            .args(["--login", &self.login()])
            .args(rest)
            .env("HOME", self.desk.state.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn exec(&self, script: &str) -> Output {
        self.osmo(&["exec", "live-1", "only", "--", "sh", "-c", script]).output().unwrap()
    }

    /// Waits until the task listens on `port`.
    pub(crate) fn wait_for(&self, port: u16) {
        self.exec(&format!(
            "until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))'; \
             do sleep 0.2; done"
        ));
    }

    /// The run's end.
    pub(crate) fn end(mut self) -> Option<i32> {
        let status = self.run.take().unwrap().wait().unwrap();
        self.desk.assert_nobody_left();
        status.code()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(run) = &mut self.run {
            let _ = run.kill();
            let _ = run.wait();
        }
    }
}

/// Waits for `/osmo/output/done`, which a test makes when it has seen enough.
pub(crate) const UNTIL_DONE: &str = "until [ -e /osmo/output/done ]; do sleep 0.1; done";

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn has(program: &str) -> bool {
    let there = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let there = there.unwrap().status.success();
    if !there {
        skip(&format!("{program} is not here"));
    }
    there
}

/// A port that nobody listened on a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
