//! What a probe or a scraper may ask the sidecar, over HTTP/1.1.
//!
//! ```text
//!  probe, scraper ──► loopback or unix socket ──► /metrics   all of `table.rs`
//!                                                 /healthz   the driver is alive
//!                                                 /readyz    past Init
//! ```
//!
//! Off unless `-health` says where. A TCP address must be loopback: nothing is
//! authenticated here, and containers of a pod share their loopback. A unix
//! socket has mode 0660: whoever runs as the sidecar's user or group may look,
//! the task's command as anybody else may not.
//!
//! Limits: [`CONNECTIONS_MAX`] at once, the next wait in the kernel's queue;
//! one request each, with a head of [`HEAD_BYTES_MAX`], within [`LIMIT`].
//! Looking changes nothing, and a sidecar without `-health` serves nothing.

mod answer;
mod process;
mod samples;
mod table;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use osmo_protocol::exit::ExitCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::console::Console;
use crate::lifecycle::Failure;
use crate::meters::Meters;
use crate::service::outbox::Outbox;

/// How often the driver shows that it is alive.
pub(crate) const BEAT: Duration = Duration::from_secs(5);
/// After how long without a beat it is not.
const BEAT_LIMIT: Duration = Duration::from_secs(30);
const CONNECTIONS_MAX: usize = 8;
/// The smallest that hyper allows.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// From a connection to its end.
const LIMIT: Duration = Duration::from_secs(5);
/// After an accept that failed, most likely for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
const SOCKET_MODE: u32 = 0o660;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Place {
    /// Reads `-health`; `None` when it is empty.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, Failure> {
        if text.is_empty() {
            return Ok(None);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Some(Self::Unix(path.into()))),
                false => Err(refuse(text, "the socket's path must be absolute: unix:/path")),
            };
        }
        let localhost = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        let address = match localhost {
            Some(port) => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
            None => text.parse().map_err(|_| {
                refuse(text, "expected an address with a port, as 127.0.0.1:9100, or unix:/path")
            })?,
        };
        if !address.ip().is_loopback() {
            let why = "only loopback is served, since nothing is authenticated; use 127.0.0.1, \
                       [::1] or unix:/path";
            return Err(refuse(text, why));
        }
        Ok(Some(Self::Tcp(address)))
    }
}

fn refuse(text: &str, why: &str) -> Failure {
    Failure::new(ExitCode::InvalidInput, format!("Cannot serve -health {text:?}: {why}"))
}

/// The server; it ends when this is dropped, and its connections with it.
#[derive(Debug)]
pub(crate) struct Health {
    task: JoinHandle<()>,
    socket: Option<PathBuf>,
}

impl Drop for Health {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(socket) = &self.socket {
            let _ = std::fs::remove_file(socket);
        }
    }
}

/// What there is to look at.
#[derive(Clone, Debug)]
struct View {
    meters: Meters,
    outbox: Arc<Outbox>,
}

impl Health {
    /// Serves where `-health` says, if it says anything.
    ///
    /// # Errors
    /// `InvalidInput` when nobody can listen there.
    pub(crate) fn open(
        text: &str,
        meters: Meters,
        outbox: Arc<Outbox>,
        console: Console,
    ) -> Result<Option<Self>, Failure> {
        let place = Place::parse(text)?;
        place.map(|place| Self::serve(place, meters, outbox, console)).transpose()
    }

    /// Listens at `place` and serves.
    ///
    /// # Errors
    /// `InvalidInput` when nobody can listen there.
    fn serve(
        place: Place,
        meters: Meters,
        outbox: Arc<Outbox>,
        console: Console,
    ) -> Result<Self, Failure> {
        meters.beat();
        let view = View { meters, outbox };
        match place {
            Place::Tcp(address) => {
                let listener = listen_tcp(address)
                    .map_err(|error| refuse(&address.to_string(), &why(&error)))?;
                let task = tokio::spawn(accept(view, console, move || {
                    let listener = Arc::clone(&listener);
                    async move { listener.accept().await.map(|(stream, _)| stream) }
                }));
                Ok(Self { task, socket: None })
            }
            Place::Unix(path) => {
                let place = format!("unix:{}", path.display());
                let listener = listen_unix(&path).map_err(|error| refuse(&place, &why(&error)))?;
                let task = tokio::spawn(accept(view, console, move || {
                    let listener = Arc::clone(&listener);
                    async move { listener.accept().await.map(|(stream, _)| stream) }
                }));
                Ok(Self { task, socket: Some(path) })
            }
        }
    }
}

fn why(error: &std::io::Error) -> String {
    format!("{error}; choose another place or free this one")
}

fn listen_tcp(address: SocketAddr) -> std::io::Result<Arc<TcpListener>> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener).map(Arc::new)
}

/// Replaces a socket that a killed sidecar left; anything else stays.
fn listen_unix(path: &Path) -> std::io::Result<Arc<UnixListener>> {
    if std::fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(Arc::new(listener))
}

async fn accept<A, F, S>(view: View, console: Console, next: A)
where
    A: Fn() -> F,
    F: Future<Output = std::io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut is_failing = false;
    // They end with the server.
    let mut served = JoinSet::new();
    loop {
        while served.try_join_next().is_some() {}
        let Ok(held) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match next().await {
            Ok(stream) => stream,
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    console.warn(&format!("cannot accept on -health: {error}"));
                }
                sleep(PAUSE).await;
                continue;
            }
        };
        is_failing = false;
        let view = view.clone();
        served.spawn(async move {
            // Who is too slow is cut off without a word.
            let _ = timeout(LIMIT, converse(stream, view)).await;
            drop(held);
        });
    }
}

/// One request and its answer.
async fn converse<S>(stream: S, view: View)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = hyper::service::service_fn(|request: hyper::Request<_>| {
        let answer = answer::answer(request.method(), request.uri().path(), &view);
        async move { Ok::<_, std::convert::Infallible>(answer) }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(LIMIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

#[cfg(test)]
mod tests;
