//! The user's end of a pair.
#![allow(dead_code, reason = "no test file needs all of it")]

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use osmo_protocol::logger::Route;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::pod::{Pod, WATCHDOG};

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Somebody at the other end of `route`.
pub(crate) struct User {
    /// What the sidecar is told.
    pub(crate) route: Route,
    service: SocketAddr,
    token: String,
}

impl User {
    /// The sidecar dials `router`, the user the service itself.
    pub(crate) fn new(pod: &Pod, key: &str, router: Option<SocketAddr>) -> Self {
        let service = pod.service.address();
        let router_address = format!("ws://{}", router.unwrap_or(service));
        let route = Route { router_address, key: key.into(), cookie: String::new() };
        Self { route, service, token: pod.service.user_token() }
    }

    pub(crate) async fn dial(&self, kind: &str) -> Socket {
        let (service, key) = (self.service, &self.route.key);
        let url = format!("ws://{service}/api/router/{kind}/wf-1/client/{key}");
        let mut request = url.into_client_request().unwrap();
        let token = format!("Bearer {}", self.token).parse().unwrap();
        request.headers_mut().insert("authorization", token);
        tokio_tungstenite::connect_async(request).await.unwrap().0
    }
}

pub(crate) async fn send(socket: &mut Socket, bytes: &[u8]) {
    socket.send(Message::binary(bytes.to_vec())).await.unwrap();
}

/// Waits for the pair's end.
pub(crate) async fn left(socket: &mut Socket) {
    let ended = timeout(WATCHDOG, async {
        while !matches!(socket.next().await, None | Some(Err(_) | Ok(Message::Close(_)))) {}
    });
    ended.await.expect("the pair is closed");
}

/// What comes, up to `last`.
pub(crate) async fn read_until(socket: &mut Socket, last: &str) -> String {
    let mut all = Vec::new();
    let heard = timeout(WATCHDOG, async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Binary(bytes) = message {
                let from = all.len().saturating_sub(last.len());
                all.extend_from_slice(&bytes);
                if all[from..].windows(last.len()).any(|window| window == last.as_bytes()) {
                    return true;
                }
            }
        }
        false
    });
    let found = heard.await;
    let text = String::from_utf8_lossy(&all).into_owned();
    assert_eq!(found, Ok(true), "no {last:?} in {:?}", &text[text.len().saturating_sub(400)..]);
    text
}
