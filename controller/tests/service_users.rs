//! Users' calls to the local service beyond the recordings: ranges of ports,
//! and calls that make no sense.
#![allow(clippy::unwrap_used)]

use osmo_controller::service::{LocalService, ServiceConfig, TaskIdentity, WorkflowStatus};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn start() -> LocalService {
    let service = LocalService::start(ServiceConfig::default()).await.unwrap();
    service.add_task(TaskIdentity {
        workflow: "wf-1".to_owned(),
        group: "g".to_owned(),
        task: "t1".to_owned(),
        retry: 0,
        lead: true,
    });
    service
}

async fn call(service: &LocalService, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    let (token, length) = (service.user_token(), body.len());
    let head = format!(
        "{head} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The service may refuse a body before it has read all of it.
    let _ = stream.write_all(body).await;
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    let response = String::from_utf8(response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn a_range_of_ports_makes_an_action_each() {
    let service = start().await;
    let head = "POST /api/workflow/wf-1/portforward/t1?task_ports=8080-8082&task_ports=9000";
    let (status, body) = call(&service, head, b"").await;
    assert_eq!(status, 200);
    let replies: Vec<Value> = serde_json::from_str(&body).unwrap();
    assert_eq!(replies.len(), 4);
    let address = format!("ws://{}", service.address());
    assert!(replies.iter().all(|reply| reply["router_address"] == address.as_str()));
    service.stop().await;
}

#[tokio::test]
async fn calls_that_make_no_sense() {
    let service = start().await;
    let wf = "POST /api/workflow/wf-1";
    for (head, wanted) in [
        (format!("{wf}/exec/task/t1"), 422),
        (format!("{wf}/webserver/t1"), 422),
        (format!("{wf}/webserver/t1?task_port=http"), 422),
        (format!("{wf}/webserver/t1?task_port=65536"), 422),
        (format!("{wf}/portforward/t1"), 422),
        (format!("{wf}/portforward/t1?task_ports=9-8"), 422),
        (format!("{wf}/portforward/t1?task_ports=1-65535"), 422),
        (format!("{wf}/rsync/task/nope"), 400),
        (format!("{wf}/exec/group/nope?entry_command=sh"), 400),
        (format!("{wf}/dance/t1"), 404),
        ("GET /api/workflow/wf-1/exec/task/t1".to_owned(), 404),
        ("GET /".to_owned(), 404),
        ("DELETE /api/auth/jwt/refresh_token".to_owned(), 405),
    ] {
        let (status, body) = call(&service, &head, b"").await;
        assert_eq!(status, wanted, "{head}: {body}");
        assert!(serde_json::from_str::<Value>(&body).unwrap().is_object(), "{head}: {body}");
    }
    service.stop().await;
}

/// HTTP/1.0 knows no upgrade (RFC 9110, 7.8), so the dial ends there.
#[tokio::test]
async fn a_webserver_whose_dial_failed_is_not_alive() {
    let service = start().await;
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    let token = service.sidecar_token();
    let head = format!(
        "GET /api/router/webserver/wf-1/backend/WEBSERVER-1 HTTP/1.0\r\nHost: here\r\n\
         Authorization: Bearer {token}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    let begin = std::time::Instant::now();
    loop {
        let (status, body) = call(&service, "GET /api/router/webserver/WEBSERVER-1", b"").await;
        assert_eq!(status, 200);
        if body == "false" {
            break;
        }
        assert!(begin.elapsed().as_secs() < 10, "it is still called alive");
        tokio::task::yield_now().await;
    }
    service.stop().await;
}

#[tokio::test]
async fn a_token_call_that_makes_no_sense() {
    let service = start().await;
    let query = "group_name=g&task_name=t1&workflow_id=wf-1";
    let path = "/api/auth/jwt/refresh_token";
    for (head, body, at) in [
        (format!("POST {path}?{query}"), "", "body"),
        (format!("POST {path}?{query}"), "not json", "body"),
        (format!("POST {path}?{query}"), r#"{"token":5}"#, "token"),
        (format!("POST {path}?{query}&retry_id=x"), r#"{"token":"x"}"#, "retry_id"),
        (format!("GET {path}?{query}"), "", "refresh_token"),
    ] {
        let (status, reply) = call(&service, &head, body.as_bytes()).await;
        assert_eq!(status, 422, "{head} {body}: {reply}");
        let reply: Value = serde_json::from_str(&reply).unwrap();
        let loc = reply["detail"][0]["loc"].as_array().unwrap();
        assert_eq!(loc.last().unwrap(), at, "{head} {body}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let service = start().await;
    let head = "POST /api/auth/jwt/refresh_token?group_name=g&task_name=t1&workflow_id=wf-1";
    let (status, _) = call(&service, head, &vec![b' '; 65_537]).await;
    assert_eq!(status, 413);
    service.stop().await;
}

async fn say(service: &LocalService, lines: &[(&str, &str)]) {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};
    let address = service.address();
    let path = "/api/logger/workflow/wf-1/osmo_ctrl/t1/retry_id/0";
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    let token = format!("Bearer {}", service.sidecar_token());
    request.headers_mut().insert("Authorization", token.parse().unwrap());
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    for (kind, text) in lines.iter().chain(&[("LOG_DONE", "")]) {
        let inner = serde_json::json!({
            "Source": "t1", "Time": "2026-01-02T03:04:05.5Z", "Text": text, "IOType": kind,
        });
        let frame = Value::String(inner.to_string()).to_string();
        socket.send(Message::text(frame)).await.unwrap();
    }
    socket.next().await.unwrap().unwrap();
}

const LINES: [(&str, &str); 4] =
    [("STDOUT", "one"), ("OSMO_CTRL", "two"), ("OSMO_CTRL", ""), ("STDERR", "three")];

#[tokio::test]
async fn logs_are_worded_as_the_real_service_words_them() {
    let service = start().await;
    say(&service, &LINES).await;
    service.ledger().set_workflow_status("wf-1", WorkflowStatus::Completed);
    let day = "2026/01/02 03:04:05 ";
    let (one, two, three) = ("[t1] one\n", "[t1][osmo] two\n", "[t1] three\n");
    for (query, wanted) in [
        ("", vec![one, two, three]),
        ("?task_name=t1", vec![one, two, three]),
        ("?last_n_lines=1", vec![three]),
        ("?query=%5Cbt(wo|hree)$", vec![two, three]),
    ] {
        let (status, body) =
            call(&service, &format!("GET /api/workflow/wf-1/logs{query}"), b"").await;
        assert_eq!(status, 200);
        // Chunked: sizes may stand between the lines.
        for line in &wanted {
            assert!(body.contains(&format!("{day}{line}")), "{query}: {body}");
        }
        assert_eq!(body.matches(day).count(), wanted.len(), "{query}: {body}");
        assert!(body.ends_with("0\r\n\r\n"), "{body}");
    }
    for (query, wanted) in [
        ("?task_name=nope", 400),
        ("?query=(", 400),
        ("?last_n_lines=x", 422),
        ("?last_n_lines=-1", 400),
    ] {
        let (status, _) = call(&service, &format!("GET /api/workflow/wf-1/logs{query}"), b"").await;
        assert_eq!(status, wanted, "{query}");
    }
    service.stop().await;
}

#[tokio::test]
async fn logs_are_followed_until_the_workflow_has_ended() {
    let service = std::sync::Arc::new(start().await);
    let follower = std::sync::Arc::clone(&service);
    let following =
        tokio::spawn(async move { call(&follower, "GET /api/workflow/wf-1/logs", b"").await });
    say(&service, &[("STDOUT", "early")]).await;
    say(&service, &[("STDOUT", "late")]).await;
    assert!(!following.is_finished());
    service.ledger().set_workflow_status("wf-1", WorkflowStatus::Completed);
    let (status, body) = following.await.unwrap();
    assert_eq!(status, 200);
    assert!(body.contains("] early\n") && body.contains("] late\n"), "{body}");
    service.readers_gone(std::time::Duration::from_secs(10)).await;
}
