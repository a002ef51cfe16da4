//! What the local service says about a workflow, to whom, and before or after it
//! runs. The answer of the real service is `fixtures/service/workflow.json`, as
//! it was recorded for a workflow whose lead runs its second attempt.
#![allow(clippy::unwrap_used)]

use osmo_controller::service::{
    LocalService, ServiceConfig, TaskIdentity, TaskKey, TaskStatus, WorkflowStatus,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const RECORDED: &str = include_str!("fixtures/service/workflow.json");

fn identity(task: &str, retry: u32, lead: bool) -> TaskIdentity {
    let (workflow, group, task) = ("again-2".to_owned(), "g".to_owned(), task.to_owned());
    TaskIdentity { workflow, group, task, retry, lead }
}

fn key(task: &str, retry: u32) -> TaskKey {
    identity(task, retry, false).key()
}

/// The workflow of the recording.
async fn start() -> LocalService {
    let service = LocalService::start(ServiceConfig::default()).await.unwrap();
    service.add_task(identity("b", 0, false));
    service.add_task(identity("a", 0, true));
    service.set_status(&key("a", 0), TaskStatus::Failed);
    service.add_task(identity("a", 1, true));
    service
}

async fn call(service: &LocalService, head: &str, token: Option<&str>) -> (u16, String) {
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let request = format!(
        "{head} HTTP/1.1\r\nHost: here\r\n{}Connection: close\r\n\r\n",
        token.unwrap_or_default()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn ask(service: &LocalService, head: &str) -> (u16, String) {
    call(service, head, Some(&service.user_token())).await
}

async fn told(service: &LocalService) -> Value {
    let (status, body) = ask(service, "GET /api/workflow/again-2").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The keys of a JSON text, in its order.
fn keys(text: &str) -> Vec<&str> {
    // No string of the two texts has a quote in it.
    let strings = text.split('"').skip(1).step_by(2);
    let after = text.split('"').skip(2).step_by(2);
    strings.zip(after).filter(|(_, after)| after.starts_with(':')).map(|(key, _)| key).collect()
}

#[tokio::test]
async fn a_workflow_is_told_with_the_real_service_s_keys() {
    let service = start().await;
    let (status, body) = ask(&service, "GET /api/workflow/again-2").await;
    assert_eq!(status, 200);
    assert_eq!(keys(&body), keys(RECORDED));
    assert_eq!(keys(RECORDED).len(), 33 + 11 + 2 * 22 + 1, "one group of two tasks, a plugin");
    service.stop().await;
}

/// Whatever is not null is of the recorded type, and what both must know alike
/// is the same.
#[tokio::test]
async fn a_workflow_is_told_with_the_real_service_s_values() {
    let service = start().await;
    let base = format!("http://{}", service.address());
    let recorded = RECORDED.replace("http://127.0.0.1:58002", &base);
    let (told, recorded) = (told(&service).await, serde_json::from_str(&recorded).unwrap());
    expect_alike("", &told, &recorded);
    for at in [
        "/name",
        "/spec",
        "/template_spec",
        "/logs",
        "/events",
        "/overview",
        "/status",
        "/pool",
        "/backend",
        "/plugins",
        "/priority",
        "/labels",
        "/warnings",
        "/tags",
        "/end_time",
        "/groups/0/name",
        "/groups/0/status",
        "/groups/0/end_time",
        "/groups/0/tasks/0/name",
        "/groups/0/tasks/0/retry_id",
        "/groups/0/tasks/0/status",
        "/groups/0/tasks/0/lead",
        "/groups/0/tasks/0/logs",
        "/groups/0/tasks/0/events",
        "/groups/0/tasks/1/name",
        "/groups/0/tasks/1/retry_id",
        "/groups/0/tasks/1/lead",
        "/groups/0/tasks/1/end_time",
    ] {
        assert_eq!(told.pointer(at).unwrap(), recorded.pointer(at).unwrap(), "{at}");
    }
    let text = |at: &str| told.pointer(at).unwrap().as_str().unwrap().to_owned();
    let pod = format!("{}-{}", &text("/uuid")[..16], &text("/groups/0/tasks/0/task_uuid")[..16]);
    assert_eq!(text("/groups/0/tasks/0/pod_name"), pod);
    service.stop().await;
}

fn expect_alike(at: &str, told: &Value, recorded: &Value) {
    match (told, recorded) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(told), Value::Object(recorded)) => {
            for (key, told) in told {
                expect_alike(&format!("{at}/{key}"), told, &recorded[key]);
            }
        }
        (Value::Array(told), Value::Array(recorded)) => {
            assert_eq!(told.len(), recorded.len(), "{at}");
            told.iter().zip(recorded).for_each(|(told, recorded)| expect_alike(at, told, recorded));
        }
        (Value::String(told), Value::String(recorded)) if at.ends_with("_time") => {
            let form = |text: &str| text.replace(|digit: char| digit.is_ascii_digit(), "0");
            assert_eq!(form(told), form(recorded), "{at}");
        }
        (told, recorded) => {
            let kind = std::mem::discriminant(told) == std::mem::discriminant(recorded);
            assert!(kind, "{at}: {told} is of another type than {recorded}");
        }
    }
}

#[tokio::test]
async fn a_workflow_is_where_its_leads_are() {
    let service = start().await;
    service.ledger().set_workflow_status("again-2", WorkflowStatus::Pending);
    let pending = told(&service).await;
    assert_eq!((&pending["status"], &pending["start_time"]), (&"PENDING".into(), &Value::Null));
    service.ledger().set_workflow_status("again-2", WorkflowStatus::Running);
    service.add_task(TaskIdentity { group: "later".to_owned(), ..identity("c", 0, true) });
    let running = told(&service).await;
    assert_eq!(running["status"], "RUNNING");
    assert_eq!(running.pointer("/groups/0/name").unwrap(), "later", "what began last is first");
    for (lead, status) in [
        (TaskStatus::Waiting, "WAITING"),
        (TaskStatus::Scheduling, "SCHEDULING"),
        (TaskStatus::Initializing, "INITIALIZING"),
        (TaskStatus::FailedCanceled, "FAILED_CANCELED"),
    ] {
        service.set_status(&key("c", 0), lead);
        let told = told(&service).await;
        assert_eq!(told.pointer("/groups/0/status").unwrap(), status);
        assert_eq!(told.pointer("/groups/0/end_time").unwrap().is_string(), lead.is_finished());
    }
    // A member that is no lead may fail.
    service.set_status(&key("b", 0), TaskStatus::Failed);
    service.set_status(&key("a", 1), TaskStatus::Completed);
    service.ledger().set_workflow_status("again-2", WorkflowStatus::Completed);
    let ended = told(&service).await;
    assert_eq!(ended.pointer("/groups/1/status").unwrap(), "COMPLETED");
    assert_eq!(ended["status"], "FAILED_CANCELED", "that of the group that failed");
    assert!(ended["end_time"].is_string());
    let (_, body) = ask(&service, "GET /api/workflow/again-2?skip_groups=true").await;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["groups"], Value::Array(vec![]));
    service.stop().await;
}

/// As `token-*` and `action-refused` show it for other calls.
#[tokio::test]
async fn an_unknown_workflow_is_a_sentence() {
    let service = start().await;
    let answer = ask(&service, "GET /api/workflow/nope").await;
    let recorded =
        r#"{"message":"Workflow nope is not found.","error_code":"DATABASE","workflow_id":null}"#;
    assert_eq!(answer.0, 400);
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(parsed(&answer.1), parsed(recorded));
    service.stop().await;
}

/// What OSMO's command line reads before an rsync.
#[tokio::test]
async fn plugins_are_told() {
    let service = start().await;
    let (status, body) = ask(&service, "GET /api/plugins/configs").await;
    assert_eq!(status, 200);
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told["rsync"]["enabled"], true);
    assert_eq!(told["rsync"]["allowed_paths"], serde_json::json!({}));
    // 2.5 MiB/s, the service's default and what the runner tells the agent.
    assert_eq!(told["rsync"]["read_bandwidth_limit"], 2_621_440);
    assert_eq!(told["rsync"]["write_bandwidth_limit"], 2_621_440);
    service.stop().await;
}

/// The body is that of `router-version`; the core service answers with the same.
#[tokio::test]
async fn the_version_is_told_to_anybody() {
    let service = start().await;
    for head in ["GET /api/version", "GET /api/router/version"] {
        let recorded = r#"{"major":"6","minor":"4","revision":"0","hash":""}"#;
        assert_eq!(call(&service, head, None).await, (200, recorded.to_owned()), "{head}");
    }
    service.stop().await;
}

const CALLS: [&str; 8] = [
    "GET /api/workflow/again-2",
    "GET /api/workflow/again-2/logs",
    "GET /api/plugins/configs",
    "POST /api/workflow/again-2/exec/task/a?entry_command=sh",
    "POST /api/workflow/again-2/exec/group/g?entry_command=sh",
    "POST /api/workflow/again-2/portforward/a?task_ports=80",
    "POST /api/workflow/again-2/webserver/a?task_port=80",
    "POST /api/workflow/again-2/rsync/task/a",
];

/// Calls that start a session.
fn sessions() -> impl Iterator<Item = &'static str> {
    CALLS.into_iter().filter(|call| call.starts_with("POST"))
}

#[tokio::test]
async fn users_calls_want_a_live_token_of_a_user() {
    let service = start().await;
    let (user, sidecar) = (service.user_token(), service.sidecar_token());
    let mut forged = user.clone();
    let last = if forged.pop() == Some('A') { 'E' } else { 'A' };
    forged.push(last);
    for head in CALLS {
        for (token, wanted) in [
            (None, 401),
            (Some(""), 401),
            (Some("a.b.c"), 401),
            (Some(forged.as_str()), 401),
            (Some(sidecar.as_str()), 403),
        ] {
            assert_eq!(call(&service, head, token).await.0, wanted, "{head} {token:?}");
        }
    }
    let config =
        ServiceConfig { token_life: std::time::Duration::ZERO, ..ServiceConfig::default() };
    let short = LocalService::start(config).await.unwrap();
    short.add_task(identity("a", 0, true));
    for head in CALLS {
        assert_eq!(ask(&short, head).await.0, 401, "{head}, expired");
    }
    short.stop().await;
    service.stop().await;
}

/// The sentences are those of `action-refused`.
#[tokio::test]
async fn sessions_are_refused_before_and_after_the_run() {
    let service = start().await;
    let refused = async |status: u16, words: &str| {
        for head in sessions() {
            let (got, body) = ask(&service, head).await;
            assert_eq!(got, status, "{head}: {body}");
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["error_code"], "USER", "{head}");
            assert_eq!(body["workflow_id"], "again-2", "{head}");
            assert_eq!(body["message"], words, "{head}");
        }
    };
    service.ledger().set_workflow_status("again-2", WorkflowStatus::Pending);
    refused(425, "Workflow again-2 is not running yet...").await;
    service.ledger().set_workflow_status("again-2", WorkflowStatus::Completed);
    refused(410, "Workflow again-2 is not running!").await;
    service.stop().await;
}

/// A reader of a workflow that has not begun waits for its lines.
#[tokio::test]
async fn logs_of_a_pending_workflow_are_waited_for() {
    let service = std::sync::Arc::new(start().await);
    service.ledger().set_workflow_status("again-2", WorkflowStatus::Pending);
    let reader = std::sync::Arc::clone(&service);
    let reading = tokio::spawn(async move { ask(&reader, "GET /api/workflow/again-2/logs").await });
    tokio::task::yield_now().await;
    assert!(!reading.is_finished());
    service.ledger().set_workflow_status("again-2", WorkflowStatus::Completed);
    let (status, body) = reading.await.unwrap();
    assert_eq!((status, body.as_str()), (200, "0\r\n\r\n"), "an empty chunked body");
}
