//! Restart, eviction, and a sidecar that is killed and started again.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use common::{Agent, Mood, Seen, Service, Sidecar, TOKEN, WATCHDOG};
use osmo_protocol::socket::{AgentState, Frame};
use serde_json::Value;

fn good() -> Service {
    Service::start(200, TOKEN, &[])
}

fn failed(code: i32) -> Frame {
    let message = format!("Command failed with error: exit status {code}\n");
    Frame::ExecFailed { message, code: Some(code) }
}

fn lines(messages: &[Value], origin: &str) -> Vec<String> {
    let texts = messages.iter().filter(|message| message["IOType"] == origin);
    texts.map(|message| message["Text"].as_str().unwrap().to_owned()).collect()
}

/// Reads on until the service hears of a barrier.
fn barrier(service: &Service) {
    loop {
        if let Seen::Message(message) = service.next()
            && message["IOType"] == "BARRIER"
        {
            return;
        }
    }
}

#[test]
fn a_restart_stops_asks_the_group_and_starts_again() {
    let service = good();
    let sidecar = Sidecar::start(service.port, &["-barrier", "osmo-group-ready"]);
    let mut agent = Agent::good(&sidecar);
    barrier(&service);
    service.act(r#"{"action":"restart"}"#);
    service.wait_for("Restart action ignored: the task waits for its group");
    service.act(r#"{"action":"barrier"}"#);
    agent.wait_for_start();
    for _ in 0..2 {
        service.act(r#"{"action":"restart"}"#);
        assert_eq!(agent.hear(), Some(Frame::UserStop));
        service.wait_for("Receive restart action");
        service.act(r#"{"action":"restart"}"#);
        service.wait_for("Restart action ignored: a restart is under way");
        agent.say(&Frame::UserStopFinished);
        barrier(&service);
        service.act(r#"{"action":"barrier"}"#);
        assert_eq!(agent.hear(), Some(Frame::UserStart));
    }
    agent.say(&Frame::ExecFinished);
    assert_eq!(agent.hear(), None, "nothing is started any more");
    let (code, told, events) = sidecar.end();
    assert_eq!((code, told.as_str()), (Some(0), r#"{"code":0}"#));
    let phases = events.iter().filter(|event| event["event"] == "phase");
    let phases: Vec<_> = phases.map(|event| event["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["init", "download", "run", "upload", "done"], "one run in all");
}

/// Else the agent waits for a sidecar that may be started again.
#[test]
fn the_agent_learns_that_its_last_line_is_stored() {
    let service = good();
    let sidecar = Sidecar::start(service.port, &[]);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    agent.say(&Frame::MessageOut("first".into()));
    while agent.hear_any() != Some(Frame::LinesStored { lines: 1 }) {}
    // The sidecar has just told, and pauses before it tells again.
    agent.say(&Frame::MessageOut("last".into()));
    agent.say(&Frame::ExecFinished);
    let mut told = 1;
    while let Some(frame) = agent.hear_any() {
        if let Frame::LinesStored { lines } = frame {
            told = lines;
        }
    }
    assert_eq!(told, 2);
    assert_eq!(sidecar.end().0, Some(0));
}

/// The service drops whoever sends a metric that it cannot read; each connection
/// would end over the same one.
#[test]
fn a_metric_that_ends_every_connection_is_left_out() {
    let service = Service::start(200, TOKEN, &[Mood::HatesMetrics; 30]);
    let sidecar = Sidecar::start(service.port, &[]);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    agent.say(&Frame::MessageOut("the line behind it".into()));
    service.wait_for("the line behind it");
    agent.say(&Frame::ExecFinished);
    assert_eq!(sidecar.end().0, Some(0));
}

/// A task that was just told to restart.
fn restarting() -> (Service, Sidecar, Agent) {
    let service = good();
    let sidecar = Sidecar::start(service.port, &[]);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    service.act(r#"{"action":"restart"}"#);
    assert_eq!(agent.hear(), Some(Frame::UserStop));
    (service, sidecar, agent)
}

/// What `UserStop` meets is a command that is over; the original waits for ever.
#[test]
fn a_command_that_ends_during_a_restart_has_ended() {
    let (_service, sidecar, mut agent) = restarting();
    agent.say(&failed(3));
    let (code, _, events) = sidecar.end();
    assert_eq!(code, Some(0));
    assert_eq!(events.last().unwrap()["command_code"], 3);
}

#[test]
fn a_stop_during_a_restart_ends_the_task() {
    let (_service, sidecar, mut agent) = restarting();
    sidecar.signal("TERM");
    assert!(matches!(agent.hear(), Some(Frame::Terminate { seconds: Some(_) })));
    agent.say(&Frame::UserStopFinished);
    agent.say(&failed(137));
    assert_eq!(agent.hear(), None, "nothing is started again");
    let (code, told, _) = sidecar.end();
    assert_eq!(code, Some(40), "{told}");
}

/// The command ignores SIGTERM: its share of the time ends, and no signal more
/// changes anything.
#[test]
fn a_command_that_does_not_stop_costs_its_share_alone() {
    for first in ["TERM", "INT"] {
        let service = good();
        let sidecar = Sidecar::start(service.port, &["-gracePeriod", "4"]);
        let mut agent = Agent::good(&sidecar);
        agent.wait_for_start();
        sidecar.signal(first);
        assert!(matches!(agent.hear(), Some(Frame::Terminate { seconds: Some(_) })));
        sidecar.signal("TERM");
        sidecar.signal("INT");
        let (code, told, _) = sidecar.end();
        assert_eq!(code, Some(40));
        let told: Value = serde_json::from_str(&told).unwrap();
        assert!(told["message"].as_str().unwrap().contains("what it has written is saved"));
        let messages = service.rest();
        assert_eq!(lines(&messages, "UPLOAD"), ["Upload Start", "No Files in Output Folder"]);
        assert!(
            lines(&messages, "OSMO_CTRL").contains(&"The command did not end in time".to_owned())
        );
    }
}

/// The kubelet kills what is left at the end of the grace period; by then it has
/// been said why, also where nobody takes the last lines.
#[test]
fn the_message_is_there_before_the_kill() {
    let grace = std::time::Duration::from_secs(10);
    let service = good();
    let sidecar = Sidecar::start(service.port, &["-gracePeriod", "10"]);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    drop(service);
    let begin = std::time::Instant::now();
    sidecar.signal("TERM");
    assert!(matches!(agent.hear(), Some(Frame::Terminate { seconds: Some(_) })));
    agent.say(&Frame::MessageOut("a last line".into()));
    agent.say(&Frame::ExecFinished);
    std::thread::sleep(grace.saturating_sub(begin.elapsed()));
    let root = sidecar.kill();
    let told = fs::read_to_string(root.path().join("termination")).unwrap_or_default();
    assert!(told.contains("what it has written is saved"), "{told:?}");
}

/// A store that takes connections and never answers.
struct Silent {
    _listener: TcpListener,
    folder: tempfile::TempDir,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "auth: {{data: {{s3://bkt: {{access_key_id: A, access_key: S, region: us-east-1, \
             override_url: 'http://{address}', addressing_style: path}}}}}}"
        );
        fs::write(folder.path().join("config.yaml"), config).unwrap();
        Self { _listener: listener, folder }
    }

    fn config(&self) -> String {
        self.folder.path().join("config.yaml").display().to_string()
    }
}

#[test]
fn sigterm_while_inputs_move_gives_up_and_releases_the_agent() {
    // A task's input moves at once; a user's is checked first.
    for (flag, input, line) in [
        ("-serviceConfig", "task:0,s3://bkt/wf/t,", "Downloading t"),
        ("-userConfig", "url:0,s3://bkt/in", "Validating READ access for URI input: s3://bkt/in"),
    ] {
        let (service, store) = (good(), Silent::start());
        let args = [flag, &store.config(), "-inputs", input];
        let sidecar = Sidecar::start(service.port, &args);
        let mut agent = Agent::good(&sidecar);
        service.wait_for(line);
        sidecar.signal("TERM");
        assert_eq!(agent.hear(), Some(Frame::CtrlFailed));
        let (code, told, _) = sidecar.end();
        assert_eq!(code, Some(40));
        assert!(told.contains("before the command started"), "{told}");
    }
}

#[test]
fn what_a_silent_store_did_not_take_is_listed() {
    let (service, store) = (good(), Silent::start());
    let config = store.config();
    let args = ["-serviceConfig", &config, "-outputs", "task:s3://bkt/wf/t", "-gracePeriod", "3"];
    let sidecar = Sidecar::start(service.port, &args);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    fs::write(sidecar.root.path().join("output/model.bin"), vec![7; 1000]).unwrap();
    agent.say(&Frame::ExecFinished);
    service.wait_for("Uploading t");
    let journal = sidecar.root.path().join("socket/ctrl/left-behind.jsonl");
    sidecar.signal("TERM");
    let root = sidecar.root.path().to_owned();
    // The folder goes with the sidecar; a copy stays.
    let kept = tempfile::tempdir().unwrap();
    let (code, told, _) = ended(sidecar, || {
        fs::copy(&journal, kept.path().join("journal")).unwrap();
    });
    assert_eq!(code, Some(12));
    let told: Value = serde_json::from_str(&told).unwrap();
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("1 files (1000 B) were not uploaded"), "{message}");
    let text = fs::read_to_string(kept.path().join("journal")).unwrap();
    let entry: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(entry["url"], "s3://bkt/wf/t/model.bin");
    assert_eq!(entry["bytes"], 1000);
    let _ = root;
    let said = lines(&service.rest(), "UPLOAD");
    assert!(said.iter().any(|line| line.starts_with("Not uploaded: ")), "{said:?}");
}

/// The sidecar's end, with a look at its folders before they go.
fn ended(sidecar: Sidecar, look: impl FnOnce()) -> (Option<i32>, String, Vec<Value>) {
    let termination = sidecar.root.path().join("termination");
    let begin = std::time::Instant::now();
    while !termination.exists() {
        assert!(begin.elapsed() < WATCHDOG, "the sidecar does not end");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    look();
    sidecar.end()
}

fn back(sidecar: &Sidecar, state: AgentState) -> Agent {
    let mut agent = Agent::good(sidecar);
    agent.say(&Frame::State { state });
    agent
}

/// As the agent does once it is connected.
fn take_token(sidecar: &Sidecar) {
    fs::remove_file(sidecar.root.path().join("socket/handoff")).unwrap();
}

#[test]
fn a_sidecar_killed_while_the_command_runs_goes_on_with_it() {
    let service = good();
    let sidecar = Sidecar::start(service.port, &[]);
    let mut agent = Agent::good(&sidecar);
    take_token(&sidecar);
    agent.wait_for_start();
    let root = sidecar.kill();
    assert_eq!(agent.hear(), None);
    let sidecar = Sidecar::start_in(root, service.port, &[]);
    let mut stranger = Agent::dial(&sidecar, &Frame::Hello { token: String::new(), session: None });
    assert_eq!(stranger.hear(), None, "the token outlives the file");
    let mut agent = back(&sidecar, AgentState::Running);
    agent.say(&Frame::MessageOut("still here".into()));
    service.wait_for("The sidecar is back; the command was not interrupted");
    agent.say(&Frame::ExecFinished);
    assert_eq!(agent.hear(), None, "it was not started again");
    let (code, told, events) = sidecar.end();
    assert_eq!((code, told.as_str()), (Some(0), r#"{"code":0}"#));
    let phases = events.iter().filter(|event| event["event"] == "phase");
    let phases: Vec<_> = phases.map(|event| event["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["init", "run", "upload", "done"]);
}

#[test]
fn a_sidecar_killed_before_the_start_starts_the_command_once() {
    let service = good();
    let barrier_flag = ["-barrier", "osmo-group-ready"];
    let sidecar = Sidecar::start(service.port, &barrier_flag);
    let _agent = Agent::good(&sidecar);
    barrier(&service);
    let root = sidecar.kill();
    let sidecar = Sidecar::start_in(root, service.port, &barrier_flag);
    let mut agent = back(&sidecar, AgentState::Waiting);
    barrier(&service);
    service.act(r#"{"action":"barrier"}"#);
    agent.wait_for_start();
    agent.say(&Frame::ExecFinished);
    let metrics: Vec<_> = service.rest();
    let inputs = metrics.iter().filter(|one| one["Metric"]["type_of_metrics"] == "input_download");
    assert_eq!(inputs.count(), 0, "told before, and once");
    assert_eq!(sidecar.end().0, Some(0));
}

#[test]
fn a_sidecar_killed_while_outputs_move_needs_no_agent() {
    let (service, store) = (good(), Silent::start());
    let config = store.config();
    let args = ["-serviceConfig", &config, "-outputs", "task:s3://bkt/wf/t"];
    let sidecar = Sidecar::start(service.port, &args);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    fs::write(sidecar.root.path().join("output/model.bin"), "7").unwrap();
    agent.say(&failed(3));
    service.wait_for("Uploading t");
    let root = sidecar.kill();
    drop(agent);
    let sidecar = Sidecar::start_in(root, service.port, &[]);
    let (code, _, events) = sidecar.end();
    assert_eq!(code, Some(0));
    assert_eq!(events.last().unwrap()["command_code"], 3, "it is remembered");
}

/// No file can be written, neither a state nor a termination message.
#[test]
fn a_full_disk_does_not_end_the_task() {
    let service = good();
    let root = Sidecar::root();
    let port = service.port.to_string();
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$@\"";
    let mut child = Command::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_osmo-ctrl")])
        .args(["-socketPath", "socket/data.sock", "-outputPath", "output/", "-inputPath", "input/"])
        .args(["-workflow", "wf-1", "-groupName", "g", "-logSource", "t1", "-host", "127.0.0.1"])
        .args(["-port", &port, "-refreshToken", "token", "-terminationLog", "termination"])
        .current_dir(root.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut agent = Agent::dial_at(
        &root.path().join("socket/data.sock"),
        &Frame::Hello { token: "0123456789abcdef".into(), session: None },
    );
    agent.wait_for_start();
    agent.say(&Frame::ExecFinished);
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(0));
    assert!(!root.path().join("socket/ctrl/state.json").exists());
}
