//! The HTTP side: accepts connections, checks signatures through `s3s`, stops
//! in bounded time.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::error::{At as _, StoreResult};
use super::files::FileStore;
use super::service::ObjectService;

/// Connections served at a time; more wait in the listen queue.
const CONNECTIONS_MAX: usize = 1024;
/// How long a request head may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests in flight may take to end once the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait when the system refuses to accept (no file descriptors).
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// How long, and for how many bytes, a refused body is still taken.
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
const LINGER_BYTES_MAX: usize = 64 << 20;
const LINGER_STEP_BYTES: usize = 64 << 10;
/// Bytes a connection may buffer on its way out or in.
const CONNECTION_BYTES: usize = 1 << 20;

/// Where and how to serve.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The folder that holds the store; created if it does not exist.
    pub root: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// The only access key that is known.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
}

impl StoreConfig {
    /// A store in `root`, on a free port of the loopback interface.
    pub fn new(root: impl Into<PathBuf>, access_key: &str, secret_key: &str) -> Self {
        Self {
            root: root.into(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
        }
    }
}

/// A store that is being served. Dropped without [`StoreServer::stop`], it
/// breaks its connections off.
#[derive(Debug)]
pub struct StoreServer {
    address: SocketAddr,
    store: Arc<FileStore>,
    stop: watch::Sender<bool>,
    accept: JoinHandle<()>,
}

impl StoreServer {
    /// Opens the store and begins to serve it.
    ///
    /// # Errors
    /// As [`FileStore::open`], and when the address cannot be bound.
    pub async fn start(config: StoreConfig) -> StoreResult<Self> {
        let root = config.root.clone();
        let store = super::receive::blocking(move || FileStore::open(&root)).await?;
        Self::serve(Arc::new(store), &config).await
    }

    /// Serves a store that is open already; `config.root` is not looked at.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn serve(store: Arc<FileStore>, config: &StoreConfig) -> StoreResult<Self> {
        let at = PathBuf::from(config.address.to_string());
        let listener = TcpListener::bind(config.address).await.at("listen on", &at)?;
        let address = listener.local_addr().at("listen on", &at)?;
        let mut builder = S3ServiceBuilder::new(ObjectService::new(Arc::clone(&store)));
        builder.set_auth(OneKey {
            access_key: config.access_key.clone(),
            secret_key: SecretKey::from(config.secret_key.clone()),
        });
        let (stop, stopped) = watch::channel(false);
        let accept = tokio::spawn(accept(listener, builder.build(), stopped));
        Ok(Self { address, store, stop, accept })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL that clients are given.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The store behind it.
    pub fn store(&self) -> &Arc<FileStore> {
        &self.store
    }

    /// Stops: no new connections; requests in flight get a few seconds, then
    /// they are broken off.
    pub async fn stop(mut self) {
        // No receiver is left only if the accept loop has ended already.
        let _ = self.stop.send(true);
        if (&mut self.accept).await.is_err() {
            tracing::warn!("the store's accept loop ended early");
        }
        let store = Arc::clone(&self.store);
        if let Err(error) = super::receive::blocking(move || store.sync()).await {
            tracing::warn!(%error, "flush the store's journals");
        }
    }
}

impl Drop for StoreServer {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// The one key pair that is known.
struct OneKey {
    access_key: String,
    secret_key: SecretKey,
}

#[async_trait::async_trait]
impl S3Auth for OneKey {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access_key {
            return Ok(self.secret_key.clone());
        }
        Err(s3_error!(InvalidAccessKeyId, "the access key is not known to this store"))
    }
}

/// Serves a store until `until` resolves: the whole of a stand-alone endpoint.
/// `ready` is told the endpoint's URL.
///
/// # Errors
/// As [`StoreServer::start`].
pub async fn serve(
    config: StoreConfig,
    ready: impl FnOnce(&str),
    until: impl Future<Output = ()>,
) -> StoreResult<()> {
    let server = StoreServer::start(config).await?;
    ready(&server.endpoint());
    until.await;
    server.stop().await;
    Ok(())
}

async fn accept(listener: TcpListener, service: S3Service, mut stopped: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let free = Arc::clone(&room).acquire_owned();
        let next = async {
            let permit = free.await;
            (listener.accept().await, permit)
        };
        tokio::select! {
            () = until(&mut stopped) => break,
            Some(_) = connections.join_next() => {}
            (accepted, permit) = next => match accepted {
                Ok((stream, _)) => {
                    let connection = connection(stream, service.clone(), stopped.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept a connection to the store");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            },
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIMEOUT, all).await.is_err() {
        tracing::debug!("break off requests that did not end in time");
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, service: S3Service, mut stopped: watch::Receiver<bool>) {
    // Without it a small answer after a large one waits for an acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "set TCP_NODELAY");
    }
    let mut connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(CONNECTION_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => ended,
        () = until(&mut stopped) => {
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|cx| connection.poll_without_shutdown(cx)).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the store broke");
    }
    let stream = connection.into_parts().io.into_inner();
    tokio::select! {
        () = linger(stream) => {}
        () = until(&mut stopped) => {}
    }
}

/// Takes what a client still sends after its request was refused: closing on
/// unread bytes would reset the connection before the client reads the answer.
async fn linger(mut stream: TcpStream) {
    let take = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let (mut scratch, mut taken) = (vec![0; LINGER_STEP_BYTES], 0);
        while taken < LINGER_BYTES_MAX {
            match stream.read(&mut scratch).await {
                Ok(read) if read > 0 => taken += read,
                _ => return,
            }
        }
    };
    // Too slow is the same as too much: the client gets its reset.
    let _ = tokio::time::timeout(LINGER_TIMEOUT, take).await;
}

async fn until(stopped: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is a stop too.
    let _ = stopped.wait_for(|stop| *stop).await;
}
