//! The listener and the connections that live under it.

use super::browser::HangUp;
use super::config::ServiceError;
use super::{Shared, http};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Pause after a failed accept (out of descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServiceError> {
    let fail = |source| ServiceError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    Ok((listener, bound))
}

/// What a connection holds as long as it lives: one of the places, and the ear
/// for the order to end.
#[derive(Clone)]
pub(crate) struct Lifeline {
    killed: watch::Receiver<u64>,
    _place: Arc<OwnedSemaphorePermit>,
}

impl Lifeline {
    /// Runs `work` until it is done or connections must end.
    pub(crate) async fn guard(mut self, work: impl Future<Output = ()>) {
        tokio::select! {
            _ = self.killed.changed() => {}
            () = work => {}
        }
    }
}

/// A running listener.
pub(crate) struct Listening {
    kill: watch::Sender<u64>,
    places: Arc<Semaphore>,
    places_max: u32,
    accepting: tokio::task::JoinHandle<()>,
}

impl Listening {
    pub(crate) fn start(listener: TcpListener, shared: Arc<Shared>) -> Self {
        let places_max = u32::try_from(shared.config.connections_max).unwrap_or(u32::MAX);
        let places = Arc::new(Semaphore::new(places_max as usize));
        let (kill, killed) = watch::channel(0);
        let accepting = tokio::spawn(accept(listener, shared, killed, Arc::clone(&places)));
        Self { kill, places, places_max, accepting }
    }

    pub(crate) fn kill_connections(&self) {
        self.kill.send_modify(|generation| *generation += 1);
    }

    /// Stops listening, ends the connections and waits for them.
    pub(crate) async fn stop(mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
        self.kill_connections();
        let _ = self.places.acquire_many(self.places_max).await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accepting.abort();
        self.kill_connections();
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    killed: watch::Receiver<u64>,
    places: Arc<Semaphore>,
) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepts no connection for a moment");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!("turns a connection away: all places are taken");
            continue;
        };
        let mut killed = killed.clone();
        killed.mark_unchanged();
        let lifeline = Lifeline { killed, _place: Arc::new(place) };
        tokio::spawn(serve(stream, Arc::clone(&shared), lifeline));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, lifeline: Lifeline) {
    let _ = stream.set_nodelay(true);
    let (for_upgrade, head_wait) = (lifeline.clone(), shared.config.request_wait);
    let service = service_fn(move |request| {
        let (shared, lifeline) = (Arc::clone(&shared), for_upgrade.clone());
        async move {
            let reply = http::answer(request, shared, lifeline).await;
            reply.map_err(|HangUp| std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
        }
    });
    let connection = http1::Builder::new()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(head_wait)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    lifeline
        .guard(async {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "ends an HTTP connection");
            }
        })
        .await;
}
