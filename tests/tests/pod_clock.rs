//! A pod whose wall clock is set while it lives; the table in
//! `docs/OPERATIONS.md` names this test.

#![allow(clippy::unwrap_used)]

#[path = "pod_faults/pod.rs"]
mod pod;
#[path = "pod_sessions/user.rs"]
mod user;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Duration;

use osmo_controller::service::{ServiceConfig, ServiceEvent};
use osmo_protocol::logger::Action;
use osmo_tests::skip::skip;
use osmo_tests::wire::Wire;
use pod::{Pod, WATCHDOG, code};
use tokio::sync::mpsc;
use tokio::time::timeout;
use user::{User, read_until, send};

const HOUR_S: i64 = 3_600;

/// A library that shows programs another wall clock, and what it adds.
struct Clock {
    library: PathBuf,
    ahead: File,
}

impl Clock {
    /// `None` without a C compiler.
    fn make(pod: &Pod) -> Option<Self> {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pod_clock/shim.c");
        let library = pod.path("clock.so");
        let mut compiler = std::process::Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source);
        if !compiler.status().is_ok_and(|status| status.success()) {
            return None;
        }
        let ahead = File::create(pod.path("clock")).unwrap();
        let clock = Self { library, ahead };
        clock.set(0);
        Some(clock)
    }

    fn set(&self, hours: i64) {
        self.ahead.write_all_at(&(hours * HOUR_S).to_ne_bytes(), 0).unwrap();
    }

    fn for_program(&self, pod: &Pod, command: &mut std::process::Command) {
        command.env("LD_PRELOAD", &self.library).env("CLOCK_SHIM", pod.path("clock"));
    }
}

/// When the line `text` was said by the pod's clock, in seconds after 1970.
async fn time_of(events: &mut mpsc::Receiver<ServiceEvent>, text: &str) -> i64 {
    let heard = timeout(WATCHDOG, async {
        while let Some(event) = events.recv().await {
            if let ServiceEvent::Line { line, .. } = event
                && line.text.as_ref() == text
            {
                return line.time;
            }
        }
        panic!("the service ended")
    });
    let time = heard.await.unwrap_or_else(|_| panic!("no {text}"));
    let date = std::process::Command::new("date").args(["-u", "+%s", "-d", &time]).output();
    String::from_utf8(date.unwrap().stdout).unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn a_clock_that_jumps_both_ways_breaks_nothing() {
    // Long enough for a token to be fetched once.
    let life = Duration::from_secs(3_600);
    let config = ServiceConfig { token_life: life, ..ServiceConfig::default() };
    let pod = Pod::with(config).await;
    let Some(clock) = Clock::make(&pod) else { return skip("no C compiler") };
    let wire = Wire::to(pod.service.address()).await;
    let mut events = pod.service.subscribe();
    let port = wire.address().port().to_string();
    // No wait is as long as the jumps.
    let minute = ["-timeout", "1", "-unixTimeout", "1", "-dataTimeout", "1"];
    let outputs = ["-outputs", "task:s3://bkt/out", "-port", &port];
    let mut ctrl = pod.ctrl_command(&[&outputs[..], &minute].concat());
    clock.for_program(&pod, &mut ctrl);
    let mut ctrl = pod.spawn_ctrl(&mut ctrl);
    let gate = |name: &str| pod.path(name).display().to_string();
    let script = format!(
        "cd {}; echo a; until [ -e {} ]; do sleep 0.05; done; echo b; \
         until [ -e {} ]; do sleep 0.05; done; echo c; \
         until [ -e {} ]; do sleep 0.05; done; echo 1 > made",
        gate("output"),
        gate("one"),
        gate("two"),
        gate("three")
    );
    let mut exec = pod.exec_command(&script);
    clock.for_program(&pod, &mut exec);
    let mut exec = pod::spawn(&mut exec);
    let begin = time_of(&mut events, "a").await;
    assert_eq!(wire.connections(), 2, "a token and the link");
    let user = User::new(&pod, "EXEC-1", None);
    let action = Action::Exec { route: user.route.clone(), entry_command: "sh".into() };
    assert!(pod.service.push_action(&pod.key, action));
    let mut socket = user.dial("exec").await;
    send(&mut socket, br#"{"Rows":24,"Cols":80}"#).await;

    for (hours, name, text, links) in [(6, "one", "b", 3), (-6, "two", "c", 4)] {
        clock.set(hours);
        wire.cut();
        std::fs::write(pod.path(name), "").unwrap();
        let then = time_of(&mut events, text).await;
        let jumped = then - begin - hours * HOUR_S;
        assert!((0..HOUR_S).contains(&jumped), "the clock is {jumped} s beside itself");
        assert_eq!(wire.connections(), links, "no other token is needed");
    }
    send(&mut socket, b"echo $((6*7))\n").await;
    read_until(&mut socket, "42").await;
    std::fs::write(pod.path("three"), "").unwrap();
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(0), Some(0)));
    assert_eq!(pod.store.keys(), ["out/made"]);
    pod.assert_over(0).await;
}
