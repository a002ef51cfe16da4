//! The local service beyond the recordings: tokens at the door, outages,
//! subscribers, limits.
#![allow(clippy::unwrap_used)]

use futures_util::{SinkExt as _, StreamExt as _};
use osmo_controller::service::{
    LocalService, ServiceConfig, ServiceError, ServiceEvent, TaskIdentity, TaskKey,
};
use osmo_protocol::logger::{
    Action, Barrier, BarrierType, ClientFrame, Line, LineType, logger_path,
};
use osmo_protocol::router::{PairKind, Side, pair_path};
use osmo_protocol::token::{TokenAnswer, TokenRequest, refresh_path};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const WATCHDOG: Duration = Duration::from_secs(30);

fn identity() -> TaskIdentity {
    TaskIdentity {
        workflow: "wf-1".to_owned(),
        group: "g".to_owned(),
        task: "t1".to_owned(),
        retry: 0,
        lead: true,
    }
}

fn key() -> TaskKey {
    identity().key()
}

async fn dial(service: &LocalService, path: &str, token: Option<&str>) -> Result<Socket, u16> {
    let mut request = format!("ws://{}{path}", service.address()).into_client_request().unwrap();
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("Authorization", value);
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(Error::Io(_)) => Err(0),
        Err(other) => panic!("{other}"),
    }
}

async fn logger(service: &LocalService) -> Socket {
    let token = service.sidecar_token();
    dial(service, &logger_path("wf-1", "t1", 0), Some(&token)).await.unwrap()
}

fn frame(text: &str, io_type: LineType) -> Message {
    let line = Line {
        source: "t1".to_owned(),
        time: "2026-01-02T03:04:05.123456789Z".to_owned(),
        text: text.to_owned(),
        io_type,
    };
    Message::text(ClientFrame::Line(line).encode())
}

/// Sends lines and waits until they are acknowledged.
async fn log(socket: &mut Socket, lines: &[&str]) {
    for line in lines {
        socket.send(frame(line, LineType::Stdout)).await.unwrap();
    }
    socket.send(frame("", LineType::LogDone)).await.unwrap();
    let answer = tokio::time::timeout(WATCHDOG, socket.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(Action::decode(&answer.into_data()).unwrap(), Action::LogDone);
}

fn texts(service: &LocalService) -> Vec<String> {
    service.logs(&key()).iter().map(|entry| entry.text.to_string()).collect()
}

async fn call(service: &LocalService, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn a_refresh_token_opens_the_logger() {
    let service = LocalService::start(ServiceConfig::default()).await.unwrap();
    let refresh = service.add_task(identity());
    assert_eq!(refresh.len(), 43);
    let body = serde_json::to_string(&TokenRequest { token: refresh }).unwrap();
    let head = format!("POST {}", refresh_path("wf-1", "g", "t1", 0));
    let (status, body) = call(&service, &head, &body).await;
    let TokenAnswer::Granted { token, .. } = TokenAnswer::read(status, body.as_bytes()) else {
        panic!("{status}: {body}");
    };
    let mut socket = dial(&service, &logger_path("wf-1", "t1", 0), Some(&token)).await.unwrap();
    log(&mut socket, &["hello"]).await;
    assert_eq!(texts(&service), ["hello"]);
    service.stop().await;
}

#[tokio::test]
async fn the_door_wants_a_live_token_of_the_right_role() {
    let service = LocalService::start(ServiceConfig::default()).await.unwrap();
    service.add_task(identity());
    let path = logger_path("wf-1", "t1", 0);
    let backend = pair_path(PairKind::Exec, "wf-1", Side::Backend, "EXEC-1");
    let client = pair_path(PairKind::Exec, "wf-1", Side::Client, "EXEC-1");
    let (user, sidecar) = (service.user_token(), service.sidecar_token());
    let mut forged = sidecar.clone();
    let last = if forged.pop() == Some('A') { 'E' } else { 'A' };
    forged.push(last);
    for token in [None, Some(""), Some("a.b.c"), Some(forged.as_str())] {
        assert_eq!(dial(&service, &path, token).await.err(), Some(401), "{token:?}");
        assert_eq!(dial(&service, &client, token).await.err(), Some(401), "{token:?}");
    }
    assert_eq!(dial(&service, &path, Some(&user)).await.err(), Some(403));
    assert_eq!(dial(&service, &backend, Some(&user)).await.err(), Some(403));
    assert_eq!(dial(&service, &client, Some(&sidecar)).await.err(), Some(403));
    assert!(dial(&service, &client, Some(&user)).await.is_ok());
    let head = "POST /api/workflow/wf-1/exec/task/t1?entry_command=sh";
    assert_eq!(call(&service, head, "").await.0, 401);
    service.stop().await;
}

#[tokio::test]
async fn an_expired_token_opens_nothing() {
    let config = ServiceConfig { token_life: Duration::ZERO, ..ServiceConfig::default() };
    let service = LocalService::start(config).await.unwrap();
    service.add_task(identity());
    let token = service.sidecar_token();
    let refused = dial(&service, &logger_path("wf-1", "t1", 0), Some(&token)).await.err();
    assert_eq!(refused, Some(401));
    service.stop().await;
}

#[tokio::test]
async fn an_outage_loses_connections_and_nothing_stored() {
    let service = LocalService::start(ServiceConfig::default()).await.unwrap();
    service.add_task(identity());
    let address = service.address();
    let mut before = logger(&service).await;
    log(&mut before, &["before"]).await;
    service.pause().await;
    assert!(!matches!(before.next().await, Some(Ok(_))), "the connection ends without a close");
    let token = service.sidecar_token();
    let path = logger_path("wf-1", "t1", 0);
    assert_eq!(dial(&service, &path, Some(&token)).await.err(), Some(0), "dials are refused");
    assert!(service.push_action(&key(), Action::Restart));
    service.resume().await.unwrap();
    assert_eq!(service.address(), address);
    let mut after = logger(&service).await;
    let action = after.next().await.unwrap().unwrap();
    assert!(action.is_binary());
    assert_eq!(Action::decode(&action.into_data()).unwrap(), Action::Restart);
    log(&mut after, &["after"]).await;
    service.kill_connections().await;
    assert!(!matches!(after.next().await, Some(Ok(_))));
    let mut again = logger(&service).await;
    log(&mut again, &["again"]).await;
    assert_eq!(texts(&service), ["before", "after", "again"]);
    service.stop().await;
}

#[tokio::test]
async fn a_slow_subscriber_gets_every_line() {
    const LINES: usize = 3000;
    let service = LocalService::start(ServiceConfig::default()).await.unwrap();
    service.add_task(identity());
    let mut events = service.subscribe();
    let mut socket = logger(&service).await;
    let lines: Vec<String> = (0..LINES).map(|line| format!("line {line}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let collect = async {
        let mut got = Vec::new();
        while got.len() < LINES {
            // The subscriber falls behind by far more than its queue.
            tokio::task::yield_now().await;
            if let Some(ServiceEvent::Line { line, task }) = events.recv().await {
                assert_eq!(task, key());
                got.push(line.text.to_string());
            }
        }
        got
    };
    let ((), got) = tokio::join!(log(&mut socket, &lines), collect);
    assert_eq!(got, lines);
    service.stop().await;
}

#[tokio::test]
async fn nothing_is_acknowledged_that_a_subscriber_has_no_room_for() {
    let service = LocalService::start(ServiceConfig::default()).await.unwrap();
    service.add_task(identity());
    let mut events = service.subscribe();
    let mut socket = logger(&service).await;
    for line in 0..5000 {
        socket.feed(frame(&line.to_string(), LineType::Stdout)).await.unwrap();
    }
    socket.feed(frame("", LineType::LogDone)).await.unwrap();
    let (mut sink, mut stream) = socket.split();
    let flushing = tokio::spawn(async move { sink.flush().await.map(|()| sink) });
    // Wait until the queue of the subscriber is full.
    while events.len() < events.max_capacity() {
        tokio::task::yield_now().await;
    }
    assert!(futures_util::FutureExt::now_or_never(stream.next()).is_none());
    // A subscriber that has gone holds nobody up.
    events.close();
    while events.recv().await.is_some() {}
    let _sink = flushing.await.unwrap().unwrap();
    let answer = tokio::time::timeout(WATCHDOG, stream.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(Action::decode(&answer.into_data()).unwrap(), Action::LogDone);
    service.stop().await;
}

#[tokio::test]
async fn bytes_of_logs_are_bounded() {
    let config = ServiceConfig { log_bytes_max: 10_000, ..ServiceConfig::default() };
    let service = LocalService::start(config).await.unwrap();
    service.add_task(identity());
    let mut socket = logger(&service).await;
    let long = "x".repeat(4_000);
    log(&mut socket, &[&long, &long, &long, "last"]).await;
    let kept = texts(&service);
    assert_eq!(kept.len(), 3, "the oldest line goes");
    assert_eq!(kept.last().unwrap(), "last");
    assert_eq!(service.ledger().workflow_logs("wf-1").len(), 3);
    service.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_turned_away() {
    let config = ServiceConfig { connections_max: 1, ..ServiceConfig::default() };
    let service = LocalService::start(config).await.unwrap();
    service.add_task(identity());
    let mut first = logger(&service).await;
    let mut second = TcpStream::connect(service.address()).await.unwrap();
    let read = tokio::time::timeout(WATCHDOG, second.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "the connection ends");
    log(&mut first, &["still here"]).await;
    service.stop().await;
}

#[tokio::test]
async fn the_action_queue_is_bounded() {
    let service = LocalService::start(ServiceConfig::default()).await.unwrap();
    service.add_task(identity());
    let accepted = (0..2000).filter(|_| service.push_action(&key(), Action::Restart)).count();
    assert_eq!(accepted, 1024);
    service.stop().await;
}

#[tokio::test]
async fn without_strictness_a_bad_frame_is_skipped() {
    let config = ServiceConfig { strict: false, ..ServiceConfig::default() };
    let service = LocalService::start(config).await.unwrap();
    service.add_task(identity());
    let mut socket = logger(&service).await;
    for bad in ["", "not json", "{}", "\"[]\""] {
        socket.send(Message::text(bad)).await.unwrap();
    }
    log(&mut socket, &["good"]).await;
    assert_eq!(texts(&service), ["good"]);
    service.stop().await;
}

#[tokio::test]
async fn the_worker_settles_and_resets_barriers() {
    use osmo_controller::service::TaskStatus;
    let service = LocalService::start(ServiceConfig::default()).await.unwrap();
    service.add_task(identity());
    let other = TaskIdentity { task: "t2".to_owned(), lead: false, ..identity() };
    service.add_task(other.clone());
    let mut events = service.subscribe();
    let mut socket = logger(&service).await;
    let (name, count) = ("osmo-group-ready".to_owned(), -1);
    let barrier = ClientFrame::Barrier(Barrier { name, count, io_type: BarrierType::Barrier });
    let barrier = Message::text(barrier.encode());
    socket.send(barrier.clone()).await.unwrap();
    log(&mut socket, &["waiting"]).await;
    service.set_status(&other.key(), TaskStatus::Failed);
    service.ledger().settle_barriers("wf-1", "g");
    let told = tokio::time::timeout(WATCHDOG, socket.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(Action::decode(&told.into_data()).unwrap(), Action::Barrier);
    // After a reset the other one, back again, is waited for.
    service.set_status(&other.key(), TaskStatus::Running);
    service.ledger().reset_barriers("wf-1", "g");
    socket.send(barrier).await.unwrap();
    log(&mut socket, &["waiting again"]).await;
    let mut barriers = 0;
    while let Ok(event) = events.try_recv() {
        barriers += usize::from(matches!(event, ServiceEvent::Barrier { .. }));
    }
    assert_eq!(barriers, 2);
    service.stop().await;
}

#[tokio::test]
async fn a_peer_that_never_reads_is_dropped() {
    let config = ServiceConfig {
        ping_every: Duration::from_millis(200),
        pong_wait: Duration::from_secs(2),
        ..ServiceConfig::default()
    };
    let service = LocalService::start(config).await.unwrap();
    let path = |side| pair_path(PairKind::Exec, "wf-1", side, "EXEC-1");
    let (user, sidecar) = (service.user_token(), service.sidecar_token());
    let _deaf = dial(&service, &path(Side::Client), Some(&user)).await.unwrap();
    let (mut sink, mut stream) =
        dial(&service, &path(Side::Backend), Some(&sidecar)).await.unwrap().split();
    let flood = tokio::spawn(async move {
        while sink.send(Message::binary(vec![0; 256 << 10])).await.is_ok() {}
    });
    let end = async {
        while let Some(Ok(message)) = stream.next().await {
            if let Message::Close(frame) = message {
                return frame.map(|frame| u16::from(frame.code));
            }
        }
        None
    };
    let code = tokio::time::timeout(WATCHDOG, end).await.unwrap();
    assert_eq!(code, Some(1000), "the other side is told");
    flood.abort();
    service.stop().await;
}

#[tokio::test]
async fn it_serves_this_machine_only() {
    let address = "0.0.0.0:0".parse().unwrap();
    let refused = LocalService::start(ServiceConfig { address, ..ServiceConfig::default() }).await;
    assert!(matches!(refused, Err(ServiceError::NotLoopback(_))));
}

#[tokio::test]
async fn an_address_in_use_is_a_sentence() {
    let first = LocalService::start(ServiceConfig::default()).await.unwrap();
    let address = first.address();
    let second = LocalService::start(ServiceConfig { address, ..ServiceConfig::default() }).await;
    let sentence = second.err().unwrap().to_string();
    assert!(sentence.starts_with(&format!("cannot listen on {address}: ")), "{sentence}");
    first.stop().await;
}
