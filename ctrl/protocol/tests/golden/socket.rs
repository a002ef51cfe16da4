//! The unix socket between the sidecar and the agent.

use osmo_protocol::socket::{AgentState, Decoder, Frame};

use super::{expect_every, golden, text, variants};

const FAILED: &str = "Command failed with error: exit status 3\n";

/// What other agents and sidecars write.
fn original() -> Vec<(&'static str, Frame)> {
    let (message, code) = (FAILED.to_owned(), Some(3));
    vec![
        ("socket/ExecStart.json", Frame::ExecStart { output_folder: "/osmo/data/output/".into() }),
        ("socket/CtrlFailed.json", Frame::CtrlFailed),
        (
            "socket/UserExecStart.json",
            Frame::UserExecStart { command: "/bin/bash".into(), session: None },
        ),
        ("socket/UserStop.json", Frame::UserStop),
        ("socket/UserStart.json", Frame::UserStart),
        ("socket/UserStopFinished.json", Frame::UserStopFinished),
        ("socket/MessageOut.json", Frame::MessageOut("line".into())),
        ("socket/MessageErr.json", Frame::MessageErr("line".into())),
        ("socket/MessageOps.json", Frame::MessageOps("line".into())),
        ("socket/UserRsyncStatus.json", Frame::UserRsyncStatus { running: true, port: 0 }),
        ("socket/ExecFinished.json", Frame::ExecFinished),
        ("socket/ExecFailed.json", Frame::ExecFailed { message, code }),
    ]
}

/// What ours write in addition.
fn ours() -> Vec<(&'static str, Frame)> {
    let (message, code) = (FAILED.to_owned(), Some(3));
    let token = "0123456789abcdef0123456789abcdef".to_owned();
    vec![
        ("socket-ours/Hello.json", Frame::Hello { token, session: Some(7) }),
        ("socket-ours/State.json", Frame::State { state: AgentState::Running }),
        ("socket-ours/LinesStored.json", Frame::LinesStored { lines: 300 }),
        ("socket-ours/Terminate.json", Frame::Terminate { seconds: Some(15) }),
        ("socket-ours/TerminalEnded.json", Frame::TerminalEnded { session: 7, code: 130 }),
        ("socket-ours/PortForward.json", Frame::PortForward { port: 8080 }),
        ("socket-ours/PortReady.json", Frame::PortReady { port: 8080 }),
        ("socket-ours/PortRefused.json", Frame::PortRefused { port: 8080 }),
        (
            "socket-ours/UserExecStart.json",
            Frame::UserExecStart { command: "/bin/bash".into(), session: Some(7) },
        ),
        ("socket-ours/UserRsyncStatus.json", Frame::UserRsyncStatus { running: true, port: 16001 }),
        ("socket-ours/ExecFinished.json", Frame::ExecFinished),
        ("socket-ours/ExecFailed.json", Frame::ExecFailed { message, code }),
        ("socket-ours/Unknown.json", Frame::Unknown("Unknown".into())),
    ]
}

pub(super) fn files() -> Vec<&'static str> {
    original().into_iter().chain(ours()).map(|(name, _)| name).collect()
}

#[test]
fn every_frame_has_a_file() {
    let names = variants!(Frame: Hello State LinesStored ExecStart CtrlFailed Terminate
        UserExecStart TerminalEnded PortForward PortReady PortRefused UserStop UserStart
        UserStopFinished MessageOut MessageErr MessageOps UserRsyncStatus ExecFinished ExecFailed
        Unknown);
    expect_every(names, original().into_iter().chain(ours()).map(|(_, frame)| frame));
}

#[test]
fn the_bytes_are_read() {
    for (name, frame) in original().into_iter().chain(ours()) {
        let mut decoder = Decoder::default();
        decoder.push(&golden(name));
        assert_eq!(decoder.frame().unwrap(), Some(frame), "{name}");
        assert_eq!(decoder.frame().unwrap(), None, "{name}");
    }
}

/// What we write is the original's object, to the byte, and our additions
/// behind its fields.
#[test]
fn the_bytes_are_written() {
    let mut exact = 0;
    for (name, frame) in original() {
        let written = String::from_utf8(frame.encode()).unwrap();
        let fields = text(name).trim_end().trim_end_matches('}').to_owned();
        let added = written.strip_prefix(&fields).unwrap_or_else(|| panic!("{name}: {written}"));
        exact += usize::from(added == "}\n");
    }
    assert_eq!(exact, 10, "all but the two that tell the exit code");
    for (name, frame) in ours() {
        assert_eq!(String::from_utf8(frame.encode()).unwrap(), text(name), "{name}");
    }
}

#[test]
fn every_state_has_a_word() {
    let states = [
        (AgentState::Waiting, "waiting"),
        (AgentState::Running, "running"),
        (AgentState::Stopped, "stopped"),
        (AgentState::Ended, "ended"),
    ];
    let names = variants!(AgentState: Waiting Running Stopped Ended);
    expect_every(names, states.map(|(state, _)| state));
    for (state, word) in states {
        let written = String::from_utf8(Frame::State { state }.encode()).unwrap();
        assert_eq!(written, text("socket-ours/State.json").replace("running", word));
    }
}
