//! The real program between a service and an agent played by the test.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Agent, Mood, Seen, Service, Sidecar, TOKEN};
use osmo_protocol::socket::Frame;
use serde_json::{Value, json};

fn out(line: &str) -> Frame {
    Frame::MessageOut(line.into())
}

fn texts(messages: &[Value], origin: &str) -> Vec<String> {
    let texts = messages.iter().filter(|message| message["IOType"] == origin);
    texts.map(|message| message["Text"].as_str().unwrap().to_owned()).collect()
}

fn failed(code: i32) -> Frame {
    let message = format!("Command failed with error: exit status {code}\n");
    Frame::ExecFailed { message, code: Some(code) }
}

#[test]
fn a_task_lives_and_ends() {
    let service = Service::start(200, TOKEN, &[]);
    let sidecar = Sidecar::start(service.port, &[]);
    let mut agent = Agent::good(&sidecar);
    let Seen::Token(line, body) = service.next() else { panic!("the token call comes first") };
    assert_eq!(
        line,
        "POST /api/auth/jwt/refresh_token?group_name=g&retry_id=0&task_name=t1&workflow_id=wf-1 \
         HTTP/1.1"
    );
    assert_eq!(body, r#"{"token":"refresh-me"}"#);
    let Seen::Dial(path, auth) = service.next() else { panic!("then the dial") };
    assert_eq!(path, "/api/logger/workflow/wf-1/osmo_ctrl/t1/retry_id/0");
    assert_eq!(auth, "Bearer jwt-1");

    agent.wait_for_start();
    agent.say(&out("one"));
    agent.say(&Frame::MessageErr("two".into()));
    agent.say(&Frame::MessageOps("three".into()));
    agent.say(&failed(3));
    let (code, told, events) = sidecar.end();
    assert_eq!((code, told.as_str()), (Some(0), r#"{"code":0}"#));

    let messages = service.rest();
    assert_eq!(texts(&messages, "STDOUT"), ["one"]);
    assert_eq!(texts(&messages, "STDERR"), ["two", "Command failed with error: exit status 3"]);
    assert_eq!(texts(&messages, "OSMO_CTRL"), ["three"]);
    assert_eq!(texts(&messages, "DOWNLOAD"), ["Downloading Start", "All Inputs Gathered"]);
    assert_eq!(texts(&messages, "UPLOAD"), ["Upload Start", "No Files in Output Folder"]);
    let metrics: Vec<_> =
        messages.iter().filter(|message| message["IOType"] == "METRICS").collect();
    let kinds: Vec<_> = metrics.iter().map(|metric| &metric["Metric"]["type_of_metrics"]).collect();
    assert_eq!(kinds, ["input_download", "output_upload"]);
    let keys: Vec<_> = metrics[0]["Metric"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["end_time", "retry_id", "start_time", "type_of_metrics"]);

    let phases: Vec<_> = events.iter().filter(|event| event["event"] == "phase").collect();
    let phases: Vec<_> = phases.iter().map(|event| event["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["init", "download", "run", "upload", "done"]);
    let summary = events.last().unwrap();
    assert_eq!((&summary["event"], &summary["code"]), (&json!("summary"), &json!(0)));
    assert_eq!(summary["command_code"], 3);
    assert_eq!(summary["phases"].as_array().unwrap().len(), 4);
    assert!(summary["rss_bytes_peak"].as_u64().unwrap() > 1_000_000);
}

#[test]
fn no_line_is_lost_when_connections_die() {
    let service = Service::start(200, TOKEN, &[Mood::Dies(40), Mood::Dies(300)]);
    let sidecar = Sidecar::start(service.port, &[]);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    for number in 0..2000 {
        agent.say(&out(&number.to_string()));
    }
    agent.say(&Frame::ExecFinished);
    let (code, told, _) = sidecar.end();
    assert_eq!((code, told.as_str()), (Some(0), r#"{"code":0}"#));
    let messages = service.rest();
    let mut numbers: Vec<u32> =
        texts(&messages, "STDOUT").iter().map(|text| text.parse().unwrap()).collect();
    // A line may come twice, but its first coming is in order.
    let mut seen = std::collections::HashSet::new();
    numbers.retain(|number| seen.insert(*number));
    assert!(numbers.iter().copied().eq(0..2000), "{} lines", numbers.len());
    let own = texts(&messages, "OSMO_CTRL");
    assert!(own.contains(&"Websocket Connection: 2".to_owned()), "{own:?}");
}

#[test]
fn the_group_is_waited_for() {
    let service = Service::start(200, TOKEN, &[]);
    let sidecar = Sidecar::start(service.port, &["-barrier", "osmo-group-ready"]);
    let mut agent = Agent::good(&sidecar);
    let barrier = loop {
        if let Seen::Message(message) = service.next()
            && message["IOType"] == "BARRIER"
        {
            break message;
        }
    };
    assert_eq!(barrier, json!({"Name": "osmo-group-ready", "Count": -1, "IOType": "BARRIER"}));
    service.act(r#"{"action":"barrier"}"#);
    agent.wait_for_start();
    service.act(r#"{"action":"barrier"}"#);
    agent.say(&Frame::ExecFinished);
    assert_eq!(agent.hear(), None, "a second answer starts nothing");
    assert_eq!(sidecar.end().0, Some(0));
    assert!(texts(&service.rest(), "OSMO_CTRL").contains(&"Group ready".to_owned()));
}

#[test]
fn actions_that_cannot_be_understood_change_nothing() {
    let service = Service::start(200, TOKEN, &[]);
    let sidecar = Sidecar::start(service.port, &[]);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    for action in [r#"{"action":"nonsense","x":[1]}"#, "not even json", r#"{"action":"exec"}"#] {
        service.act(action);
    }
    agent.say(&Frame::ExecFinished);
    assert_eq!(sidecar.end().0, Some(0));
}

#[test]
fn strangers_on_the_socket_are_turned_away() {
    let service = Service::start(200, TOKEN, &[]);
    let sidecar = Sidecar::start(service.port, &[]);
    let mut wrong =
        Agent::dial(&sidecar, &Frame::Hello { token: "fedcba9876543210".into(), session: None });
    assert_eq!(wrong.hear(), None);
    let mut silent = Agent::dial(&sidecar, &Frame::ExecFinished);
    assert_eq!(silent.hear(), None);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    let mut late = Agent::good(&sidecar);
    assert_eq!(late.hear(), None);
    agent.say(&Frame::ExecFinished);
    assert_eq!(sidecar.end().0, Some(0));
}

#[test]
fn a_refused_token_is_told() {
    for (body, words) in [
        (r#"{"detail":{"token":null,"expires_at":null,"error":"FINISHED"}}"#, "has finished"),
        (
            r#"{"message":"Workflow wf-1 with task t1 refresh token is invalid","error_code":"USER","workflow_id":null}"#,
            "refresh token is invalid",
        ),
    ] {
        let service = Service::start(400, body, &[]);
        let sidecar = Sidecar::start(service.port, &[]);
        let mut agent = Agent::good(&sidecar);
        assert_eq!(agent.hear(), Some(Frame::CtrlFailed));
        let (code, told, events) = sidecar.end();
        assert_eq!(code, Some(20));
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["code"], 20);
        assert!(told["message"].as_str().unwrap().contains(words), "{told}");
        assert_eq!(events.last().unwrap()["message"], told["message"]);
    }
}

#[test]
fn a_task_that_the_service_does_not_know_ends() {
    let service = Service::start(200, TOKEN, &[Mood::Unknown, Mood::Unknown, Mood::Unknown]);
    let sidecar = Sidecar::start(service.port, &[]);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    assert_eq!(
        agent.hear(),
        Some(Frame::Terminate { seconds: Some(15) }),
        "a command that nobody waits for ends"
    );
    agent.say(&failed(143));
    let (code, told, _) = sidecar.end();
    assert_eq!(code, Some(22));
    assert!(told.contains("Workflow nope is not found."), "{told}");
}

#[test]
fn an_absent_service_is_told() {
    let sidecar = Sidecar::start(1, &["-timeout", "0"]);
    let (code, told, _) = sidecar.end();
    assert_eq!(code, Some(21));
    assert!(told.contains("127.0.0.1:1 was away"), "{told}");
}

#[test]
fn bad_words_are_told() {
    for (args, code, words) in [
        (&["-inputs", "nonsense"][..], 30, "cannot understand input"),
        (&["-outputs", "kpi:s3://b,../x"], 30, "cannot understand output"),
        (&["-scheme", "ftp"], 30, "expected ws or wss"),
        (&["-caFile", "/dev/null"], 30, "holds no certificate"),
        (&["-retryId", "x"], 30, "expected a whole number"),
        (&["-socketPath", "/no/such/folder/x.sock"], 23, "Cannot create the socket"),
        (&["-refreshToken", "nowhere"], 20, "Cannot read the token file nowhere"),
    ] {
        let service = Service::start(200, TOKEN, &[]);
        let (exit, told, _) = Sidecar::start(service.port, args).end();
        assert_eq!(exit, Some(code), "{args:?} {told}");
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["code"], code);
        assert!(told["message"].as_str().unwrap().contains(words), "{told}");
    }
    let service = Service::start(200, TOKEN, &[]);
    for (word, about) in [("-nope", "-nope"), ("-port=x", "whole number")] {
        let (exit, told, _) = Sidecar::start(service.port, &[word]).end();
        assert_eq!(exit, Some(2));
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["code"], 30, "{told}");
        assert!(told["message"].as_str().unwrap().contains(about), "{told}");
    }
}

#[test]
fn what_is_wrong_with_an_item_is_told_to_the_service() {
    let service = Service::start(200, TOKEN, &[]);
    let sidecar = Sidecar::start(service.port, &["-inputs", "nonsense"]);
    let mut agent = Agent::good(&sidecar);
    assert_eq!(agent.hear(), Some(Frame::CtrlFailed));
    drop(agent);
    assert_eq!(sidecar.end().0, Some(30));
    let own = texts(&service.rest(), "OSMO_CTRL");
    assert!(own.iter().any(|text| text.contains("cannot understand input")), "{own:?}");
}

#[test]
fn stored_lines_are_told_to_the_agent() {
    let service = Service::start(200, TOKEN, &[Mood::Dies(40)]);
    let sidecar = Sidecar::start(service.port, &[]);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    for number in 0..300 {
        agent.say(&out(&number.to_string()));
    }
    let mut told = 0;
    while told < 300 {
        let Some(Frame::LinesStored { lines }) = agent.hear_any() else { panic!("at {told}") };
        assert!((told + 1..=300).contains(&lines), "{lines} after {told}");
        told = lines;
    }
    assert_eq!(texts(&service.rest(), "STDOUT").last().map(String::as_str), Some("299"));
    agent.say(&Frame::ExecFinished);
    assert_eq!(sidecar.end().0, Some(0));
}

#[test]
fn a_pod_that_must_go_saves_what_is_there() {
    let service = Service::start(200, TOKEN, &[]);
    let sidecar = Sidecar::start(service.port, &[]);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    sidecar.signal("TERM");
    assert_eq!(agent.hear(), Some(Frame::Terminate { seconds: Some(15) }));
    agent.say(&out("saved"));
    agent.say(&failed(143));
    let (code, told, events) = sidecar.end();
    assert_eq!(code, Some(40));
    assert!(told.contains("asked to stop"), "{told}");
    assert_eq!(events.last().unwrap()["command_code"], 143);
    let messages = service.rest();
    assert_eq!(texts(&messages, "STDOUT"), ["saved"]);
    assert_eq!(texts(&messages, "UPLOAD"), ["Upload Start", "No Files in Output Folder"]);
    assert!(texts(&messages, "OSMO_CTRL").iter().any(|text| text.contains("asked to stop")));
}

#[test]
fn a_pod_that_must_go_early_starts_nothing() {
    let service = Service::start(200, TOKEN, &[]);
    let sidecar = Sidecar::start(service.port, &["-barrier", "osmo-group-ready"]);
    let mut agent = Agent::good(&sidecar);
    service.wait_for("Waiting for group ready ...");
    sidecar.signal("TERM");
    assert_eq!(agent.hear(), Some(Frame::CtrlFailed));
    let (code, told, _) = sidecar.end();
    assert_eq!(code, Some(40));
    assert!(told.contains("before the command started"), "{told}");
}

#[test]
fn an_agent_that_dies_is_told_and_outputs_are_saved() {
    let service = Service::start(200, TOKEN, &[]);
    let sidecar = Sidecar::start(service.port, &[]);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    agent.say(&out("last words"));
    drop(agent);
    let (code, told, _) = sidecar.end();
    assert_eq!(code, Some(23));
    assert!(told.contains("left without a word"), "{told}");
    let messages = service.rest();
    assert_eq!(texts(&messages, "STDOUT"), ["last words"]);
    assert_eq!(texts(&messages, "UPLOAD").len(), 2);
}
