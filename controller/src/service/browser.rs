//! Browsers: a task's webserver under a host name of its own.
//!
//! ```text
//! browser ─ http://webserver-<hex>.localhost:PORT/path ─► here
//!    1. {"key":"PORTFORWARD-…","type":"tcp"} ─► the sidecar's control socket
//!    2. the sidecar dials the router under that key ◄─
//!    3. head and body in one message ─►   head (one message), body ◄─
//! ```
//!
//! In strict mode it has the real router's failings: the path arrives
//! percent-decoded, a head in two messages is a 500, of headers that repeat the
//! last one counts, a reply with neither length nor chunks ends with its first
//! message, neither end's close of a WebSocket is passed on. With `strict` off
//! the path stays as it was, a split head is put together, a reply without
//! length is read to its end, and closes are passed on.
//!
//! A chunk's bytes are passed on as they come; the real router waits for whole
//! chunks. No token is asked for: the key in the host name is the secret, and
//! only this machine can reach it.
//!
//! Limits: a request body may be as long as a WebSocket message; a few pieces of
//! a reply wait for a slow browser, the rest waits in the sidecar.

mod body;
mod head;
mod socket;

pub(super) use socket::serve as serve_socket;

use super::Shared;
use super::link::{Frame, Link, Out};
use super::listen::Lifeline;
use super::reply::{Reply, bare, empty, pieces, text};
use bytes::Bytes;
use head::Head;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use osmo_protocol::router::{DialBackKind, Side};
use serde::{Serialize, Serializer};
use std::sync::Arc;
use std::time::Duration;

/// How host names of webservers begin.
const KEY_START: &str = "webserver-";
/// The cookie that leads both sides to one router.
const STICKY: &str = "_osmo_router_affinity";
/// A browser must send its request body within this time.
const BODY_WAIT: Duration = Duration::from_secs(300);
/// Said to a browser whose key leads nowhere.
pub(super) const EXPIRED: &str =
    "No active backend connection found, your session may have expired.";

/// The reply is no reply: the browser's connection just ends.
pub(crate) struct HangUp;

/// The key in the host name of a request for a webserver.
pub(super) fn key(headers: &HeaderMap) -> Option<String> {
    let host = headers.get("x-forwarded-host").or_else(|| headers.get(header::HOST))?;
    let (label, _) = host.to_str().ok()?.split(':').next()?.split_once('.')?;
    let start = label.get(..KEY_START.len())?;
    start.eq_ignore_ascii_case(KEY_START).then(|| label.to_owned())
}

/// Answers one request of a browser.
pub(super) async fn answer(
    request: Request<Incoming>,
    key: &str,
    shared: Arc<Shared>,
    lifeline: Lifeline,
) -> Result<Reply, HangUp> {
    if !shared.webservers.is_alive(key, &shared.config) {
        return Ok(bare(StatusCode::NOT_FOUND, EXPIRED));
    }
    let is_head = request.method() == Method::HEAD;
    let cookie = sticky(request.headers());
    let mut message = head::request(&request, shared.config.strict);
    let limit = shared.config.message_bytes_max.saturating_sub(message.len());
    let body = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(BODY_WAIT, body).await {
        Ok(Ok(body)) => message.extend_from_slice(&body.to_bytes()),
        Ok(Err(_)) => return Ok(empty(StatusCode::PAYLOAD_TOO_LARGE)),
        Err(_) => return Ok(empty(StatusCode::REQUEST_TIMEOUT)),
    }
    let mut backend = match call_backend(key, &cookie, None, &shared).await {
        Ok(backend) => backend,
        Err(Unreachable::Late) => {
            let said = "Request timed out waiting for backend connection.";
            return Ok(bare(StatusCode::GATEWAY_TIMEOUT, said));
        }
        Err(Unreachable::Gone) => return Ok(failure()),
    };
    if backend.outbound.send(Out::Binary(message.into())).await.is_err() {
        return Ok(failure());
    }
    let Some(first) = first_message(&mut backend, shared.config.strict).await else {
        return Ok(failure());
    };
    let Some((head, rest)) = Head::split(first) else { return Ok(failure()) };
    if head.status.is_informational() {
        return Err(HangUp);
    }
    Ok(stream(head, rest, backend, is_head, shared.config.strict, lifeline))
}

/// The message with the head; in lenient mode as many as it takes.
async fn first_message(backend: &mut Link, strict: bool) -> Option<Bytes> {
    let Some(Frame::Binary(first)) = backend.inbound.recv().await else { return None };
    if strict || head::is_whole(&first) {
        return Some(first);
    }
    let mut whole = first.to_vec();
    while !head::is_whole(&whole) && whole.len() < head::BYTES_MAX {
        match backend.inbound.recv().await {
            Some(Frame::Binary(more)) => whole.extend_from_slice(&more),
            _ => return None,
        }
    }
    Some(whole.into())
}

fn stream(
    head: Head,
    rest: Bytes,
    backend: Link,
    is_head: bool,
    strict: bool,
    lifeline: Lifeline,
) -> Reply {
    let (to, body) = pieces();
    let length = head.length(strict);
    tokio::spawn(lifeline.guard(body::copy(rest, backend, length, is_head, to)));
    let mut reply = Response::new(body);
    *reply.status_mut() = head.status;
    *reply.headers_mut() = head.headers;
    if matches!(length, body::Length::Chunks) {
        reply.headers_mut().remove(header::TRANSFER_ENCODING);
    }
    reply
}

/// [`osmo_protocol::router::DialBack`] as the router writes it: headers in the
/// browser's order.
#[derive(Serialize)]
struct Order<'a> {
    key: &'a str,
    cookie: &'a str,
    #[serde(rename = "type")]
    kind: DialBackKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload>,
}

/// Path and headers of a browser's WebSocket.
#[derive(Serialize)]
pub(super) struct Payload {
    path: String,
    #[serde(serialize_with = "object")]
    headers: Vec<(String, String)>,
}

fn object<S: Serializer>(pairs: &[(String, String)], out: S) -> Result<S::Ok, S::Error> {
    out.collect_map(pairs.iter().map(|(key, value)| (key, value)))
}

/// Why no data connection came.
pub(super) enum Unreachable {
    /// The sidecar has left.
    Gone,
    /// It did not dial in time.
    Late,
}

/// Asks the sidecar for a data connection and waits for it.
pub(super) async fn call_backend(
    key: &str,
    cookie: &str,
    payload: Option<Payload>,
    shared: &Shared,
) -> Result<Link, Unreachable> {
    let data_key = format!("PORTFORWARD-{}", uuid::Uuid::new_v4().simple());
    let (seat, other) = shared.pairs.expect(Side::Client, &data_key);
    let kind = if payload.is_some() { DialBackKind::Ws } else { DialBackKind::Tcp };
    let order = Order { key: &data_key, cookie, kind, payload };
    let order = serde_json::to_string(&order).unwrap_or_default();
    let control = shared.webservers.control(key).ok_or(Unreachable::Gone)?;
    let called = async {
        control.send(Out::Text(order)).await.map_err(|_| Unreachable::Gone)?;
        other.await.map_err(|_| Unreachable::Gone)
    };
    let came = tokio::time::timeout(shared.config.pair_wait, called).await;
    drop(seat);
    came.unwrap_or(Err(Unreachable::Late))
}

/// The browser's router cookies, as the sidecar shall send them back.
pub(super) fn sticky(headers: &HeaderMap) -> String {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = values.flat_map(|value| value.split(';')).map(str::trim);
    let ours = cookies.filter(|cookie| cookie.split('=').next() == Some(STICKY));
    ours.collect::<Vec<_>>().join(", ")
}

/// What the sidecar needs to open a WebSocket like the browser's.
pub(super) fn payload(request: &Request<Incoming>, strict: bool) -> Payload {
    const HOP: [&str; 5] = [
        "connection",
        "upgrade",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-extensions",
    ];
    let headers = request.headers();
    let told = headers.keys().filter(|name| !HOP.contains(&name.as_str())).map(|name| {
        // Of one that is repeated the last counts.
        let value = headers.get_all(name).iter().next_back().map(|value| value.as_bytes());
        let value = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        (name.as_str().to_owned(), value)
    });
    Payload { path: head::target(request.uri(), strict), headers: told.collect() }
}

fn failure() -> Reply {
    text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}
