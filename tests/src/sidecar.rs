//! A sidecar that a test plays: the task's side of the wire, frame by frame,
//! behind a local service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, header};
use osmo_controller::service::{LocalService, ServiceConfig, TaskIdentity, TaskKey};
use osmo_link::{MESSAGE_BYTES_MAX, Network, Place, Socket, Trust};
use osmo_protocol::logger::{Action, Route, logger_path};
use osmo_protocol::router::{DialBack, PairKind, Side, pair_path};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

/// Far beyond what any step takes.
pub const WATCHDOG: Duration = Duration::from_secs(60);

/// Task `t1` of `wf-1`, connected to a service of its own.
pub struct Sidecar {
    /// The service.
    pub service: LocalService,
    /// The task.
    pub key: TaskKey,
    network: Network,
    actions: mpsc::Receiver<Action>,
}

impl Sidecar {
    /// Starts a service and connects.
    ///
    /// # Panics
    /// When either cannot be done.
    pub async fn start() -> Self {
        let config = ServiceConfig { connections_max: 8_192, ..ServiceConfig::default() };
        let service = LocalService::start(config).await.expect("a service on loopback");
        let identity = TaskIdentity {
            workflow: "wf-1".into(),
            group: "g".into(),
            task: "t1".into(),
            retry: 0,
            lead: true,
        };
        let key = identity.key();
        service.add_task(identity);
        let network = Network::open(Trust::default()).expect("no proxies, no files");
        let (_, actions) = mpsc::channel(1);
        let mut sidecar = Self { service, key, network, actions };
        sidecar.connect().await;
        sidecar
    }

    /// Connects the logger (again), from which actions come.
    ///
    /// # Panics
    /// When the service does not take it.
    pub async fn connect(&mut self) {
        let path = logger_path("wf-1", "t1", 0);
        let mut socket = self.socket(&path, "").await;
        let (heard, actions) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Binary(_) | Message::Text(_) = message
                    && let Ok(action) = Action::decode(&message.into_data())
                    && heard.send(action).await.is_err()
                {
                    return;
                }
            }
        });
        self.actions = actions;
    }

    async fn socket(&self, path: &str, cookie: &str) -> Socket {
        let place = Place::parse(&format!("ws://{}", self.service.address())).expect("an address");
        let mut headers = HeaderMap::new();
        let token = format!("Bearer {}", self.service.sidecar_token());
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&token).expect("a token"));
        if !cookie.is_empty() {
            headers.insert(header::COOKIE, HeaderValue::from_str(cookie).expect("a cookie"));
        }
        let dial = self.network.websocket(&place, path, headers, MESSAGE_BYTES_MAX);
        timeout(WATCHDOG, dial).await.expect("in time").expect("the service takes it")
    }

    /// The next action.
    ///
    /// # Panics
    /// When none comes.
    pub async fn action(&mut self) -> Action {
        timeout(WATCHDOG, self.actions.recv()).await.expect("in time").expect("an action")
    }

    /// Dials the task's side of a pair.
    pub async fn dial(&self, kind: PairKind, route: &Route) -> Socket {
        self.socket(&pair_path(kind, "wf-1", Side::Backend, &route.key), &route.cookie).await
    }

    /// Writes a user's `login.yaml` into `folder`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn login(&self, folder: &Path) -> PathBuf {
        let path = folder.join("login.yaml");
        let (address, token) = (self.service.address(), self.service.user_token());
        let text = format!(
            "url: http://{address}\ntoken_login:\n  id_token: {token}\n  refresh_token: null\n\
             dev_login: null\n"
        );
        std::fs::write(&path, text).expect("a folder");
        path
    }

    /// Connects whatever the control pair announces to `port` of this machine,
    /// until the control pair ends.
    pub async fn forward(&self, mut control: Socket, port: u16) {
        let mut running = tokio::task::JoinSet::new();
        while let Some(Ok(message)) = control.next().await {
            let Message::Binary(bytes) = message else { continue };
            let call: DialBack = serde_json::from_slice(&bytes).expect("a dial-back");
            let route = Route { router_address: String::new(), key: call.key, cookie: call.cookie };
            let mut pair = self.dial(PairKind::PortForward, &route).await;
            running.spawn(async move {
                match TcpStream::connect(("127.0.0.1", port)).await {
                    Ok(stream) => drop(osmo_link::pump::pump(pair, stream).await),
                    Err(_) => drop(pair.close(None).await),
                }
            });
        }
    }
}

/// The next binary message; `None` when the pair has ended in order.
///
/// # Panics
/// When nothing comes, or something else.
pub async fn next(pair: &mut Socket) -> Option<Vec<u8>> {
    loop {
        match timeout(WATCHDOG, pair.next()).await.expect("in time") {
            Some(Ok(Message::Binary(bytes))) => return Some(bytes.to_vec()),
            Some(Ok(Message::Close(_))) | None => return None,
            Some(Ok(_)) => {}
            Some(Err(error)) => panic!("{error}"),
        }
    }
}

/// Sends a binary message.
///
/// # Panics
/// When the pair has ended.
pub async fn send(pair: &mut Socket, bytes: &[u8]) {
    pair.send(Message::binary(bytes.to_vec())).await.expect("a pair");
}
