//! Which path says what.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use osmo_protocol::events::Phase;
use osmo_protocol::exposition;

use super::{BEAT_LIMIT, View, samples, table};

/// The answer; hyper leaves its body out for HEAD, and keeps its length.
pub(super) fn answer(method: &Method, path: &str, view: &View) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
        refusal.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match path {
        "/metrics" => {
            let text = samples::write(&table::TABLE, &table::Reading::take(view));
            respond(StatusCode::OK, exposition::CONTENT_TYPE, text)
        }
        "/healthz" => healthz(view),
        "/readyz" => readyz(view.meters.phase()),
        _ => plain(StatusCode::NOT_FOUND, "there is /metrics, /healthz and /readyz"),
    }
}

fn healthz(view: &View) -> Response<Full<Bytes>> {
    let age = view.meters.beat_age();
    if age <= BEAT_LIMIT {
        return plain(StatusCode::OK, "ok");
    }
    let text = format!("the driver was last seen {} s ago", age.as_secs());
    plain(StatusCode::SERVICE_UNAVAILABLE, &text)
}

fn readyz(phase: Phase) -> Response<Full<Bytes>> {
    match phase {
        Phase::Init => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "init: waiting for the service and the user container",
        ),
        Phase::Failed => plain(StatusCode::SERVICE_UNAVAILABLE, "failed: see the log"),
        Phase::Download | Phase::Run | Phase::Upload | Phase::Done => plain(StatusCode::OK, "ok"),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}
