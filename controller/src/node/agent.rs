//! Serves one snapshot a second to everybody who asks: `/metrics`, `/report`
//! (JSON), `/healthz` and `/readyz`. It answers from the first moment; what needs
//! a snapshot is 503 until there is one.
//!
//! Limits: [`CONNECTIONS_MAX`] connections, [`REQUEST_LIMIT`] each; one request
//! each, with a head of [`HEAD_BYTES_MAX`].

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use crate::cli::{AgentArgs, ReadArgs};

const CONNECTIONS_MAX: usize = 32;
/// The smallest that hyper allows.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// From the first byte of a connection to its last.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// A snapshot older than this is told as a failure. Longer than GPUs may take to
/// attach, which the snapshot after a driver was found waits for.
const STALE: Duration = Duration::from_secs(45);

/// The latest snapshot, as it is sent.
struct Pages {
    metrics: Bytes,
    report: Bytes,
}

/// What is known now.
struct Shown {
    /// When the snapshot was taken, or since when there is none.
    at: Instant,
    pages: Option<Pages>,
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

/// Starts the thread that takes the snapshots. (The first may take as long as
/// GPUs take to attach.)
fn begin(args: &AgentArgs) -> io::Result<Shared> {
    let shown = Arc::new(Mutex::new(Shown { at: Instant::now(), pages: None }));
    let (theirs, read) = (Arc::clone(&shown), args.read.clone());
    std::thread::Builder::new()
        .name("snapshots".into())
        .spawn(move || snapshots(&read, &theirs))?;
    Ok(shown)
}

/// For ever.
fn snapshots(args: &ReadArgs, shown: &Shared) {
    let mut reader = Reader::open(args);
    let mut had_driver = None;
    loop {
        let begin = Instant::now();
        let report = reader.read();
        let pages = Pages {
            metrics: metrics::exposition(&report, args.dcgm).into(),
            report: serde_json::to_vec(&report).unwrap_or_default().into(),
        };
        *lock(shown) = Shown { at: Instant::now(), pages: Some(pages) };
        // Opening a driver, and the probe of io_uring, touch more than what follows
        // needs.
        let has_driver = Some(report.gpu.driver.is_some());
        if had_driver != has_driver {
            had_driver = has_driver;
            mem::trim();
            mem::release_code();
        }
        std::thread::sleep(PERIOD.saturating_sub(begin.elapsed()));
    }
}

fn lock(shown: &Shared) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is served.
const PATHS: &str = "/metrics, /report, /healthz, /readyz\n";
/// Before there is one.
const FIRST: &str = "no snapshot yet: the GPUs' first may take half a minute; ask again\n";

fn answer(request: &Request<Incoming>, shown: &Shared) -> Response<Full<Bytes>> {
    let shown = lock(shown);
    let plain = osmo_protocol::exposition::CONTENT_TYPE;
    let sentence =
        |status, text: &'static str| (status, plain, Bytes::from_static(text.as_bytes()));
    let (late, path) = (shown.at.elapsed() >= STALE, request.uri().path());
    let (status, kind, body) = match (path, &shown.pages) {
        _ if ![Method::GET, Method::HEAD].contains(request.method()) => {
            sentence(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n")
        }
        ("/metrics" | "/readyz" | "/healthz", _) if late => {
            // Old values would be taken for new ones.
            sentence(StatusCode::SERVICE_UNAVAILABLE, "no snapshot for a while\n")
        }
        ("/metrics" | "/readyz" | "/report", None) => {
            sentence(StatusCode::SERVICE_UNAVAILABLE, FIRST)
        }
        ("/metrics", Some(pages)) => (StatusCode::OK, plain, pages.metrics.clone()),
        ("/report", Some(pages)) => (StatusCode::OK, "application/json", pages.report.clone()),
        ("/healthz" | "/readyz", _) => sentence(StatusCode::OK, "ok\n"),
        _ => sentence(StatusCode::NOT_FOUND, PATHS),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert("allow", http::HeaderValue::from_static("GET, HEAD"));
    }
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(kind));
    response
}
