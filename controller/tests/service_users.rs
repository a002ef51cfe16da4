//! Users' calls to the local service beyond the recordings: ranges of ports,
//! and calls that make no sense.
#![allow(clippy::unwrap_used)]

use osmo_controller::service::{LocalService, ServiceConfig, TaskIdentity};
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
