//! Serves one snapshot a second to everybody who asks: `/metrics`, `/report`
//! (JSON) and `/healthz`.
//!
//! Limits: [`CONNECTIONS_MAX`] connections, [`REQUEST_LIMIT`] each; one request
//! each, with a head of [`HEAD_BYTES_MAX`].

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use osmo_engine::mem;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::reader::Reader;
use super::{PERIOD, metrics};
use crate::cli::AgentArgs;

const CONNECTIONS_MAX: usize = 32;
/// The smallest that hyper allows.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// From the first byte of a connection to its last.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// A snapshot older than this is told as a failure. Longer than GPUs may take to
/// attach, which the snapshot after a driver was found waits for.
const STALE: Duration = Duration::from_secs(45);

/// The latest snapshot, as it is sent.
struct Shown {
    at: Instant,
    metrics: Bytes,
    report: Bytes,
}

type Shared = Arc<Mutex<Shown>>;

/// Serves until it is told to end (SIGTERM, SIGINT).
pub(super) fn serve(args: &AgentArgs) -> io::Result<()> {
    // A thread a GPU must not mean an arena a GPU.
    mem::limit_arenas();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.listen).await.map_err(|error| {
            let place = args.listen;
            io::Error::new(error.kind(), format!("cannot listen at {place} (--listen): {error}"))
        })?;
        let shown = begin(args)?;
        // Opening and the probe of io_uring touched more than what follows needs.
        mem::trim();
        mem::release_code();
        announce(&listener)?;
        let mut ended = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        tokio::select! {
            () = accept(listener, shown) => {}
            _ = ended.recv() => {}
            _ = interrupted.recv() => {}
        }
        Ok(())
    })
}

/// For ever.
async fn accept(listener: TcpListener, shown: Shared) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PERIOD).await;
                continue;
            }
        };
        // One too many is turned away, not kept waiting.
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else { continue };
        let shown = Arc::clone(&shown);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, &shown);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service);
            let _ = timeout(REQUEST_LIMIT, connection).await;
            drop(seat);
        });
    }
}

fn announce(listener: &TcpListener) -> io::Result<()> {
    use std::io::Write as _;
    let mut out = io::stdout().lock();
    writeln!(out, "http://{}/metrics", listener.local_addr()?)?;
    out.flush()
}

/// The first snapshot, and the thread that takes the others.
fn begin(args: &AgentArgs) -> io::Result<Shared> {
    let mut reader = Reader::open(&args.read);
    let dcgm = args.read.dcgm;
    let shown = Arc::new(Mutex::new(take(&mut reader, dcgm)));
    let theirs = Arc::clone(&shown);
    std::thread::Builder::new().name("snapshots".into()).spawn(move || {
        loop {
            let begin = Instant::now();
            let next = take(&mut reader, dcgm);
            *theirs.lock().unwrap_or_else(PoisonError::into_inner) = next;
            std::thread::sleep(PERIOD.saturating_sub(begin.elapsed()));
        }
    })?;
    Ok(shown)
}

fn take(reader: &mut Reader, dcgm: bool) -> Shown {
    let report = reader.read();
    Shown {
        at: Instant::now(),
        metrics: metrics::exposition(&report, dcgm).into(),
        report: serde_json::to_vec(&report).unwrap_or_default().into(),
    }
}

fn answer(request: &Request<Incoming>, shown: &Shared) -> Response<Full<Bytes>> {
    let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
    let plain = osmo_protocol::exposition::CONTENT_TYPE;
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (method, _) if method != Method::GET && method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, plain, Bytes::from_static(b"only GET and HEAD\n"))
        }
        // Old values would be taken for new ones.
        (_, "/metrics" | "/healthz") if shown.at.elapsed() >= STALE => {
            let body = Bytes::from_static(b"no snapshot for a while\n");
            (StatusCode::SERVICE_UNAVAILABLE, plain, body)
        }
        (_, "/metrics") => (StatusCode::OK, plain, shown.metrics.clone()),
        (_, "/report") => (StatusCode::OK, "application/json", shown.report.clone()),
        (_, "/healthz") => (StatusCode::OK, plain, Bytes::from_static(b"ok\n")),
        _ => (StatusCode::NOT_FOUND, plain, Bytes::from_static(b"/metrics, /report, /healthz\n")),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert("allow", http::HeaderValue::from_static("GET, HEAD"));
    }
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(kind));
    response
}
