//! How long the local service waits for a peer that says half of something, or
//! nothing, and what it says then.
#![allow(clippy::unwrap_used)]

use futures_util::StreamExt as _;
use osmo_controller::service::{LocalService, ServiceConfig, TaskIdentity};
use osmo_protocol::router::{PairKind, Side, pair_path};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const WATCHDOG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(300);

async fn start(config: ServiceConfig) -> LocalService {
    let service = LocalService::start(config).await.unwrap();
    let (workflow, group, task) = ("wf-1".to_owned(), "g".to_owned(), "t1".to_owned());
    service.add_task(TaskIdentity { workflow, group, task, retry: 0, lead: true });
    service
}

/// What comes back for bytes that are no whole request.
async fn answer(service: &LocalService, said: &str) -> String {
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    stream.write_all(said.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(WATCHDOG, read).await.expect("an end").unwrap();
    answer
}

async fn dial(service: &LocalService, path: &str, token: String) -> Socket {
    let mut request = format!("ws://{}{path}", service.address()).into_client_request().unwrap();
    request.headers_mut().insert("Authorization", format!("Bearer {token}").parse().unwrap());
    connect_async(request).await.unwrap().0
}

/// The code and reason of the close, when it comes.
async fn closed(socket: &mut Socket) -> (u16, String) {
    let end = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (u16::from(frame.code), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("an end without a close: {other:?}"),
            }
        }
    };
    tokio::time::timeout(WATCHDOG, end).await.expect("a close")
}

#[tokio::test]
async fn half_a_request_is_not_waited_for_forever() {
    let service = start(ServiceConfig { request_wait: SHORT, ..ServiceConfig::default() }).await;
    for half in ["", "POST /api/wor", "GET /api/workflow/wf-1 HTTP/1.1\r\nHost: here\r\n"] {
        let got = answer(&service, half).await;
        assert!(got.is_empty() || got.starts_with("HTTP/1.1 408 "), "{half:?}: {got}");
    }
    let half = "POST /api/auth/jwt/refresh_token HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\
                Content-Length: 99\r\n\r\n{\"token\"";
    let got = answer(&service, half).await;
    assert!(got.starts_with("HTTP/1.1 408 "), "{got}");
    service.stop().await;
}

/// Longer than the test lasts, where it is not what is tried.
const LONG: Duration = Duration::from_secs(3600);

const KEY: &str = "WEBSERVER-8fd04e864b614feaa27aa2272aa1dd30";

async fn is_alive(service: &LocalService) -> bool {
    let path = format!("/api/router/webserver/{KEY}");
    let asked = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    match answer(service, &asked).await.rsplit_once("\r\n\r\n").unwrap().1 {
        "true" => true,
        "false" => false,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_webserver_s_key_is_kept_for_an_hour_and_while_it_is_used() {
    for (kept, idle) in [(LONG, Duration::ZERO), (Duration::ZERO, LONG)] {
        let (webserver_kept, webserver_idle) = (kept, idle);
        let config = ServiceConfig { webserver_kept, webserver_idle, ..ServiceConfig::default() };
        let service = start(config).await;
        let path = pair_path(PairKind::WebServer, "wf-1", Side::Backend, KEY);
        let control = dial(&service, &path, service.sidecar_token()).await;
        assert!(is_alive(&service).await);
        // Also when the sidecar has left, as `webserver-alive` has it.
        drop(control);
        assert!(is_alive(&service).await);
        service.stop().await;
    }
}

#[tokio::test]
async fn a_webserver_s_control_socket_is_closed_when_its_key_is_over() {
    let (webserver_kept, webserver_idle) = (SHORT, SHORT);
    let config = ServiceConfig { webserver_kept, webserver_idle, ..ServiceConfig::default() };
    let service = start(config).await;
    let path = pair_path(PairKind::WebServer, "wf-1", Side::Backend, KEY);
    let mut control = dial(&service, &path, service.sidecar_token()).await;
    assert_eq!(closed(&mut control).await, (1000, String::new()));
    assert!(!is_alive(&service).await);
    let host = format!("{}.localhost", KEY.to_lowercase());
    let asked = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let got = answer(&service, &asked).await;
    assert!(got.contains("No active backend connection found"), "{got}");
    service.stop().await;
}
