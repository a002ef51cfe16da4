//! Requests: which part answers, and the turn from HTTP to WebSocket.

use super::auth::Role;
use super::browser::{self, HangUp};
use super::link::Link;
use super::listen::Lifeline;
use super::reply::{Reply, detail, empty, json};
use super::{Shared, logger, logs, query, router, token, user, webserver};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use osmo_protocol::router::Side;
use osmo_protocol::token::REFRESH_PATH;
use percent_encoding::percent_decode_str;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// A longer request body is refused.
const BODY_BYTES_MAX: usize = 64 << 10;

/// The parts of a request that an answer depends on.
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Percent-decoded path segments.
    pub(crate) path: Vec<String>,
    /// Percent-decoded pairs, in order.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Call {
    /// The first value of a query parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Answers whatever comes; a request under a webserver's host name is a
/// browser's.
pub(crate) async fn answer(
    mut request: Request<Incoming>,
    shared: Arc<Shared>,
    lifeline: Lifeline,
) -> Result<Reply, HangUp> {
    match browser::key(request.headers()) {
        None => Ok(answer_service(request, shared, lifeline).await),
        Some(key) if is_upgrade(&request) => {
            let target = Target::browser(&request, key, &shared);
            Ok(upgrade(&mut request, target, shared, lifeline))
        }
        Some(key) => browser::answer(request, &key, shared, lifeline).await,
    }
}

async fn answer_service(
    mut request: Request<Incoming>,
    shared: Arc<Shared>,
    lifeline: Lifeline,
) -> Reply {
    let path = segments(request.uri().path());
    let query = pairs(request.uri().query().unwrap_or_default());
    let headers = request.headers().clone();
    let allow = |role| {
        if shared.config.authorize { shared.keys.check(&headers, role) } else { Ok(()) }
    };
    if is_upgrade(&request) {
        let Some(target) = Target::read(&path, &query) else {
            return empty(StatusCode::FORBIDDEN);
        };
        if let Err(status) = allow(target.role()) {
            return empty(status);
        }
        return upgrade(&mut request, target, Arc::clone(&shared), lifeline);
    }
    let method = request.method().clone();
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    let body = match tokio::time::timeout(shared.config.request_wait, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return empty(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => return empty(StatusCode::REQUEST_TIMEOUT),
    };
    let call = Call { method, path, query, body: body.to_bytes() };
    let parts: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match (call.method.as_str(), parts.as_slice()) {
        (method, parts) if parts.join("/") == REFRESH_PATH[1..] => match method {
            "POST" | "GET" => token::answer(&call, &shared),
            _ => detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
        },
        ("GET", ["api", "version"] | ["api", "router", "version"]) => {
            json(StatusCode::OK, r#"{"major":"6","minor":"4","revision":"0","hash":""}"#)
        }
        ("GET", ["api", "router", "webserver", key]) => {
            let alive = shared.webservers.is_alive(key, &shared.config);
            json(StatusCode::OK, if alive { "true" } else { "false" })
        }
        ("GET", ["api", "workflow", workflow, "logs"]) => match allow(Role::User) {
            Ok(()) => logs::answer(&call, workflow, &shared, lifeline),
            Err(status) => empty(status),
        },
        ("GET", ["api", "workflow", workflow]) => match allow(Role::User) {
            Ok(()) => query::workflow(&call, workflow, &shared),
            Err(status) => empty(status),
        },
        ("GET", ["api", "plugins", "configs"]) => match allow(Role::User) {
            Ok(()) => query::plugins(&shared.config.rsync_allow),
            Err(status) => empty(status),
        },
        ("POST", ["api", "workflow", workflow, what @ ..]) => match allow(Role::User) {
            Ok(()) => user::answer(&call, workflow, what, &shared),
            Err(status) => empty(status),
        },
        _ => detail(StatusCode::NOT_FOUND, "Not Found"),
    }
}

/// What a WebSocket dial asks for.
enum Target {
    Logger(super::TaskKey),
    Pair(router::Dial),
    WebServer { key: String },
    Browser { key: String, cookie: String, payload: browser::Payload },
}

impl Target {
    fn read(path: &[String], query: &[(String, String)]) -> Option<Self> {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["api", "logger", "workflow", workflow, "osmo_ctrl", task, "retry_id", retry] => {
                Some(Self::Logger(super::TaskKey {
                    workflow: (*workflow).to_owned(),
                    task: (*task).to_owned(),
                    retry: retry.parse().ok()?,
                }))
            }
            ["api", "router", "webserver", _, "backend", key] => {
                Some(Self::WebServer { key: (*key).to_owned() })
            }
            ["api", "router", "exec" | "portforward" | "rsync", _, side, key] => {
                let side = match *side {
                    "backend" => Side::Backend,
                    "client" => Side::Client,
                    _ => return None,
                };
                let wait = query.iter().find(|(name, _)| name == "timeout");
                let wait_s = match wait {
                    Some((_, value)) => Some(value.parse().ok()?),
                    None => None,
                };
                Some(Self::Pair(router::Dial { side, key: (*key).to_owned(), wait_s }))
            }
            _ => None,
        }
    }

    fn browser(request: &Request<Incoming>, key: String, shared: &Shared) -> Self {
        let cookie = browser::sticky(request.headers());
        Self::Browser { key, cookie, payload: browser::payload(request, shared.config.strict) }
    }

    fn role(&self) -> Role {
        match self {
            Self::Pair(router::Dial { side: Side::Client, .. }) => Role::User,
            _ => Role::Sidecar,
        }
    }
}

fn is_upgrade(request: &Request<Incoming>) -> bool {
    let upgrade = request.headers().get(header::UPGRADE);
    upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn upgrade(
    request: &mut Request<Incoming>,
    target: Target,
    shared: Arc<Shared>,
    lifeline: Lifeline,
) -> Reply {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
        return empty(StatusCode::BAD_REQUEST);
    };
    let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) else {
        return empty(StatusCode::BAD_REQUEST);
    };
    let upgraded = hyper::upgrade::on(request);
    let (link, queues) = Link::new();
    // A browser may ask as soon as the sidecar has its 101.
    if let Target::WebServer { key } = &target {
        shared.webservers.register(key, link.outbound.clone());
    }
    tokio::spawn(lifeline.guard(async move {
        let Ok(upgraded) = upgraded.await else {
            if let Target::WebServer { key } = &target {
                shared.webservers.unregister(key, &link.outbound);
            }
            return;
        };
        let transport = queues.serve(TokioIo::new(upgraded), &shared.config);
        let session = async {
            match target {
                Target::Logger(task) => logger::serve(link, task, &shared).await,
                Target::Pair(dial) => router::serve(link, dial, &shared).await,
                Target::WebServer { key } => webserver::serve(link, &key, &shared).await,
                Target::Browser { key, cookie, payload } => {
                    browser::serve_socket(link, &key, &cookie, payload, &shared).await;
                }
            }
        };
        tokio::join!(session, transport);
    }));
    let mut reply = empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = reply.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    reply
}

fn segments(path: &str) -> Vec<String> {
    path.trim_start_matches('/').split('/').map(|part| decode(part, false)).collect()
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key, true), decode(value, true)))
        .collect()
}

fn decode(text: &str, plus_is_space: bool) -> String {
    let text = if plus_is_space { text.replace('+', " ") } else { text.to_owned() };
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}
