//! Replays one recording against the local service: says what the recorded
//! sidecar and user said, and expects what the recorded service answered.
//!
//! Silences are shortened to [`SILENCE`]. The gateway was absent when the
//! recordings were made, so dials get the token that it would have asked for.

mod peer;
mod same;
mod stored;

use osmo_controller::service::{
    LocalService, ServiceConfig, TaskIdentity, TaskKey, TaskStatus, TokenApplication,
    WorkflowStatus,
};
use osmo_protocol::logger::Action;
use peer::{Answers, Dialled, Got, Peer};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

/// How long nothing must come where the recording says so.
const SILENCE: Duration = Duration::from_millis(200);
/// For whatever must come.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(30);
/// The refresh token of the recordings.
const REFRESH_TOKEN: &str = "0123456789012345678901234567890123456789012";

pub(crate) fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/transcripts")
}

pub(crate) async fn replay(name: &str) {
    let text = std::fs::read_to_string(fixtures().join(format!("{name}.jsonl"))).unwrap();
    let events: Vec<Event> = text.lines().map(Event::read).collect();
    let mut replay = Replay::start(name, &events).await;
    let mut queue: VecDeque<Event> = in_order(events).into();
    while let Some(event) = queue.pop_front() {
        replay.step(event, &mut queue).await;
    }
    drop(replay.peers);
    replay.core.stop().await;
    replay.logger_alone.stop().await;
}

/// One line of a recording.
pub(crate) struct Event(Value, String);

impl Event {
    fn read(line: &str) -> Self {
        Self(serde_json::from_str(line).unwrap(), line.to_owned())
    }

    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_default()
    }

    fn code(&self) -> u16 {
        u16::try_from(self.0["code"].as_u64().unwrap()).unwrap()
    }

    fn peer(&self) -> (String, String) {
        (self.text("channel").to_owned(), self.text("conn").to_owned())
    }

    fn is(&self, from: &str, kind: &str) -> bool {
        self.text("from") == from && self.text("kind") == kind
    }

    fn bytes(&self) -> Vec<u8> {
        if let Some(parts) = self.0["data_repeat"].as_array() {
            let times = |part: &Value| usize::try_from(part[1].as_u64().unwrap()).unwrap();
            let texts = parts.iter().map(|part| part[0].as_str().unwrap().repeat(times(part)));
            return texts.collect::<String>().into_bytes();
        }
        if let Some(encoded) = self.0["data_b64"].as_str() {
            use base64::Engine as _;
            return base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
        }
        self.text("data").as_bytes().to_vec()
    }
}

/// The recorder noted a close when the TCP stream said so, sometimes before it
/// had noted the frames in front of it: a close is the last of its connection.
fn in_order(mut events: Vec<Event>) -> Vec<Event> {
    for at in (0..events.len()).rev() {
        if !events[at].is("service", "close") {
            continue;
        }
        let peer = events[at].peer();
        let later = |event: &Event| event.peer() == peer && event.text("from") == "service";
        let reopened =
            events[at..].iter().position(|e| e.peer() == peer && e.text("kind") == "open");
        let until = reopened.map_or(events.len(), |offset| at + offset);
        if let Some(last) = (at + 1..until)
            .rev()
            .find(|&i| later(&events[i]) && matches!(events[i].text("kind"), "text" | "binary"))
        {
            let close = events.remove(at);
            events.insert(last, close);
        }
    }
    events
}

struct Replay {
    core: LocalService,
    logger_alone: LocalService,
    peers: BTreeMap<(String, String), Peer>,
    responses: VecDeque<peer::Response>,
    /// Browsers' requests under way.
    asked: Vec<Browser>,
    keys: same::Keys,
    answers: BTreeMap<(String, String), Answers>,
    check_pings: bool,
    /// The recorder wrote the browser's request by hand.
    by_hand: bool,
}

/// A browser's request under way.
struct Browser {
    task: tokio::task::JoinHandle<Option<peer::Response>>,
}

/// The names of the headers in the order of the file: [`Value`] sorts them.
fn in_file_order(event: &Event, headers: &serde_json::Map<String, Value>) -> Vec<String> {
    let mut names: Vec<String> = headers.keys().cloned().collect();
    names.sort_by_key(|name| event.1.find(&format!("\"{name}\": ")));
    names
}

impl Replay {
    async fn start(name: &str, events: &[Event]) -> Self {
        let check_pings = name.ends_with("-ping");
        let by_hand = name == "webserver-browser-leaves";
        let mut config = ServiceConfig::default();
        if check_pings {
            config.ping_every = Duration::from_millis(300);
            config.pong_wait = Duration::from_secs(3);
        }
        if name.contains("timeout") || name.ends_with("never-dials") {
            config.pair_wait = Duration::from_millis(600);
        }
        let core = LocalService::start(config.clone()).await.unwrap();
        config.token_application = TokenApplication::Logger;
        let logger_alone = LocalService::start(config).await.unwrap();
        for service in [&core, &logger_alone] {
            for (task, lead) in [("t1", true), ("t2", false)] {
                let (workflow, group) = ("wf-1".to_owned(), "g".to_owned());
                let task = task.to_owned();
                service.add_task(TaskIdentity { workflow, group, task, retry: 0, lead });
            }
            service.ledger().set_refresh_token(&t("t1"), REFRESH_TOKEN);
        }
        let mut answers = BTreeMap::new();
        for ping in events.iter().filter(|event| event.is("service", "ping")) {
            let peer = ping.peer();
            let pong = events.iter().any(|e| e.text("kind") == "pong" && e.peer() == peer);
            answers.insert(peer, if pong { Answers::Pings } else { Answers::Nothing });
        }
        let keys = same::Keys::new(core.address());
        let (peers, responses) = (BTreeMap::new(), VecDeque::new());
        let asked = Vec::new();
        Self { core, logger_alone, peers, responses, asked, keys, answers, check_pings, by_hand }
    }

    async fn step(&mut self, event: Event, rest: &mut VecDeque<Event>) {
        match (event.text("from"), event.text("kind")) {
            ("rig", "inject") => self.inject(event.text("data")),
            ("user", "open") if event.0["headers"]["Host"].is_string() => {
                self.open_browser(&event).await;
            }
            ("service", "accepted") => {}
            ("client" | "user", "open") => self.open(&event, rest).await,
            ("client" | "user", "http-request") => self.request(&event, rest).await,
            ("client", "note") => self.flood(),
            ("client" | "user", "send-failed" | "pong") => {}
            ("user", "abort") if event.text("channel") == "http" => {
                self.asked.pop().expect("a browser").task.abort();
            }
            ("client" | "user", "text" | "binary" | "close" | "abort") => self.say(&event),
            ("service", "close") if event.text("channel") == "http" => {
                assert!(self.browser_gets(None).await.is_none(), "a response");
            }
            ("service", "http-response") if !self.asked.is_empty() => self.answered(&event).await,
            ("service", "http-response") => {
                let response = self.responses.pop_front().expect("an answer");
                assert_eq!(response.status, event.code());
                let wanted = event.0["headers"]["content-type"].as_str().unwrap_or_default();
                assert_eq!(response.content_type, wanted);
                self.keys.expect_same(&event.bytes(), &response.body);
            }
            ("service", "ping") if !self.check_pings => {}
            ("service", "stored") => self.stored(event, rest).await,
            ("service", _) => self.expect(&event).await,
            other => panic!("an event of an unknown kind: {other:?}"),
        }
    }

    /// What comes to a browser: the answer to the request that has this body.
    async fn browser_gets(&mut self, body: Option<&[u8]>) -> Option<peer::Response> {
        let mut first = None;
        // Of several under way, the one that is answered.
        for _ in 0..WATCHDOG.as_millis() / 5 {
            if let Some(at) = self.asked.iter().position(|browser| browser.task.is_finished()) {
                first = Some(at);
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let browser = self.asked.remove(first.expect("an answer"));
        let response = browser.task.await.unwrap();
        if let (Some(response), Some(body)) = (&response, body) {
            self.keys.expect_same(body, &response.body);
        }
        response
    }

    async fn answered(&mut self, event: &Event) {
        let wanted = event.bytes();
        let response = self.browser_gets(Some(&wanted)).await.expect("a response");
        assert_eq!(response.status, event.code());
        let Some(headers) = event.0["headers"].as_object() else { return };
        for (name, value) in headers {
            let got: Vec<&str> = response
                .headers
                .iter()
                .filter(|(other, _)| other == name)
                .map(|(_, value)| value.as_str())
                .collect();
            assert_eq!(got, [value.as_str().unwrap()], "{name}");
        }
    }

    /// Python's client wrote the requests: its own headers first.
    fn browse(&mut self, event: &Event) {
        let (method, path, body) = (event.text("method"), event.text("path"), event.bytes());
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !self.by_hand {
            head.push_str("accept-encoding: identity\r\n");
        }
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        let headers = event.0["headers"].as_object().unwrap();
        for name in in_file_order(event, headers) {
            head.push_str(&format!("{name}: {}\r\n", headers[&name].as_str().unwrap()));
        }
        head.push_str("\r\n");
        let (address, bodiless) = (self.core.address(), method == "HEAD");
        let task = tokio::spawn(async move { peer::raw(address, &head, &body, bodiless).await });
        self.asked.push(Browser { task });
    }

    async fn open_browser(&mut self, event: &Event) {
        let headers = event.0["headers"].as_object().unwrap();
        let in_order = in_file_order(event, headers).into_iter();
        let mut headers: Vec<(String, String)> = in_order
            .map(|name| (name.clone(), headers[&name].as_str().unwrap().to_owned()))
            .collect();
        for (name, value) in &mut headers {
            if name == "Host" {
                value.push_str(":58001");
            }
        }
        // Python's client writes the handshake's own headers first.
        headers.sort_by_key(|(name, _)| name != "Host" && !name.starts_with("Sec-"));
        headers.push(("User-Agent".to_owned(), "Python/3.12 websockets/11.0.3".to_owned()));
        let address = self.core.address();
        let peer = peer::dial_as_browser(address, event.text("path"), &headers).await;
        self.peers.insert(event.peer(), peer);
    }

    async fn open(&mut self, event: &Event, rest: &mut VecDeque<Event>) {
        let token = match event.text("channel") {
            "router-client" => self.core.user_token(),
            _ => self.core.sidecar_token(),
        };
        let cookie = event.0["headers"]["Cookie"].as_str();
        let answers = self.answers.get(&event.peer()).copied().unwrap_or(Answers::Pings);
        let path = self.keys.ours(event.text("path"));
        let dialled = peer::dial(self.core.address(), &path, &token, cookie, answers).await;
        let refused = rest
            .front()
            .is_some_and(|next| next.is("service", "http-response") && next.peer() == event.peer());
        match dialled {
            Dialled::Open(peer) => {
                assert!(!refused, "the dial should be refused");
                self.peers.insert(event.peer(), peer);
            }
            Dialled::Refused(status) => {
                assert!(refused, "the dial was refused with {status}");
                assert_eq!(status, rest.pop_front().unwrap().code());
            }
        }
    }

    /// Calls to other parts of the real service than this one are left out.
    async fn request(&mut self, event: &Event, rest: &mut VecDeque<Event>) {
        if event.0["headers"]["Host"].is_string() {
            return self.browse(event);
        }
        if event.text("path").starts_with("/api/credentials") {
            assert!(rest.pop_front().unwrap().is("service", "http-response"));
            return;
        }
        let alone = event.text("conn") == "logger";
        let service = if alone { &self.logger_alone } else { &self.core };
        let token = service.user_token();
        let (method, path) = (event.text("method"), event.text("path"));
        let response = peer::request(service.address(), method, path, &token, &event.bytes()).await;
        self.responses.push_back(response);
    }

    fn say(&self, event: &Event) {
        let peer = &self.peers[&event.peer()];
        match event.text("kind") {
            "text" if event.text("note").contains("three") => peer.send_in_three(&event.bytes()),
            "text" => peer.send_text(event.bytes()),
            "binary" => peer.send_binary(event.bytes()),
            "close" => peer.close(event.code(), event.text("reason")),
            _ => peer.abort(),
        }
    }

    fn flood(&self) {
        let peer = self.peers.values().next().expect("an open connection");
        for line in 0..1500 {
            let inner = serde_json::json!({
                "Source": "t1", "Time": "2026-01-02T03:04:05.123456789Z",
                "Text": format!("line {line}"), "IOType": "STDOUT",
            });
            let frame = Value::String(inner.to_string()).to_string();
            peer.send_text(frame.into_bytes());
        }
    }

    async fn expect(&mut self, event: &Event) {
        let peer = self.peers.get_mut(&event.peer()).expect("an open connection");
        if event.text("kind") == "silence" {
            let got = tokio::time::timeout(SILENCE, peer.next(false)).await;
            assert!(got.is_err(), "{:?} should be silent but sent {got:?}", event.peer());
            return;
        }
        let wants_ping = event.text("kind") == "ping";
        let got = tokio::time::timeout(WATCHDOG, peer.next(wants_ping))
            .await
            .unwrap_or_else(|_| panic!("a frame: {:?}", event.0));
        match (event.text("kind"), got) {
            ("ping", Got::Ping) => {}
            ("text", Got::Text(got)) => self.keys.expect_same(&event.bytes(), &got),
            ("binary", Got::Binary(got)) => self.keys.expect_same(&event.bytes(), &got),
            ("close", Got::End) => assert_eq!(event.code(), 1006),
            ("close", Got::Close(code, reason)) => {
                assert_eq!((code, reason.as_str()), (event.code(), event.text("reason")));
            }
            (wanted, got) => panic!("{:?}: wanted {wanted}, got {got:?}", event.peer()),
        }
    }

    async fn stored(&mut self, first: Event, rest: &mut VecDeque<Event>) {
        let mut wanted = vec![first];
        while rest
            .front()
            .is_some_and(|e| e.is("service", "stored") && e.text("conn") == wanted[0].text("conn"))
        {
            wanted.extend(rest.pop_front());
        }
        let texts: Vec<&str> = wanted.iter().map(|event| event.text("data")).collect();
        stored::expect(&self.core, wanted[0].text("conn"), &texts).await;
    }

    fn inject(&self, what: &str) {
        for service in [&self.core, &self.logger_alone] {
            inject(service, what);
        }
    }
}

fn t(task: &str) -> TaskKey {
    TaskKey { workflow: "wf-1".to_owned(), task: task.to_owned(), retry: 0 }
}

fn inject(service: &LocalService, what: &str) {
    if let Some(rest) = what.strip_prefix("UPDATE tasks SET status='") {
        let (status, rest) = rest.split_once('\'').unwrap();
        let task = if rest.contains("name='t2'") { t("t2") } else { t("t1") };
        service.set_status(&task, task_status(status));
    } else if let Some(status) = what.strip_prefix("workflow status ") {
        let status = match status {
            "PENDING" => WorkflowStatus::Pending,
            "COMPLETED" => WorkflowStatus::Completed,
            other => panic!("unknown workflow status {other}"),
        };
        service.ledger().set_workflow_status("wf-1", status);
    } else if let Some(status) = what.strip_prefix("task status ") {
        service.ledger().set_workflow_status("wf-1", WorkflowStatus::Running);
        service.set_status(&t("t1"), task_status(status));
    } else if what.starts_with("groups.spec: task t1 has credentials") {
        let secrets = vec!["S3cretValue".to_owned(), "abc1234".to_owned()];
        service.ledger().set_secrets(&t("t1"), secrets);
    } else if what.starts_with("SET ") {
        let json = &what[what.find('{').unwrap()..=what.rfind('}').unwrap()];
        let action = Action::decode(json.as_bytes()).unwrap();
        assert!(service.push_action(&t("t1"), action));
    } else if what.starts_with("LPUSH ") {
        assert!(service.ledger().push_action(&t("t1"), None));
    } else {
        let remarks =
            ["the same with", "a resend", "t1 was away", "t1 sends again", "the backend has gone"];
        assert!(remarks.iter().any(|start| what.starts_with(start)), "unknown inject: {what}");
    }
}

fn task_status(name: &str) -> TaskStatus {
    match name {
        "PENDING" => TaskStatus::Pending,
        "WAITING" => TaskStatus::Waiting,
        "SCHEDULING" => TaskStatus::Scheduling,
        "INITIALIZING" => TaskStatus::Initializing,
        "RUNNING" => TaskStatus::Running,
        "COMPLETED" => TaskStatus::Completed,
        "FAILED" => TaskStatus::Failed,
        "FAILED_CANCELED" => TaskStatus::FailedCanceled,
        other => panic!("unknown task status {other}"),
    }
}
