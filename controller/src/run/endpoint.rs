//! The embedded store, served from threads of its own so that moving bytes
//! never delays the runner.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use tokio::sync::oneshot;

use super::access::StoreAccess;
use crate::store::{FileStore, StoreConfig, StoreServer};

/// Enough for several 10 Gbit/s streams; the data is in the page cache.
const THREADS_MAX: usize = 4;

/// A served store; stops when dropped.
pub struct Endpoint {
    access: StoreAccess,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// Serves `store` on a free port of loopback, with a key made for this run.
    ///
    /// # Errors
    /// No thread, or no port.
    pub fn start(store: Arc<FileStore>) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = std::sync::mpsc::channel();
        let mut config =
            StoreConfig::new("", "osmo-run", &uuid::Uuid::new_v4().simple().to_string());
        config.access_key = format!("run{}", uuid::Uuid::new_v4().simple());
        let keys = (config.access_key.clone(), config.secret_key.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX)))
            .enable_all()
            .build()
            .context("cannot start the embedded store")?;
        let thread = thread::Builder::new().name("store".into()).spawn(move || {
            runtime.block_on(async {
                let server = StoreServer::serve(store, &config).await;
                let endpoint =
                    server.as_ref().map(StoreServer::endpoint).map_err(ToString::to_string);
                let told = ready.send(endpoint);
                if let (Ok(server), Ok(())) = (server, told) {
                    // An error means that the owner is gone: stop as well.
                    let _ = stopped.await;
                    server.stop().await;
                }
            });
        })?;
        let endpoint = started
            .recv()
            .context("the embedded store ended early")?
            .map_err(anyhow::Error::msg)?;
        let access = StoreAccess { endpoint, access_key: keys.0, secret_key: keys.1 };
        Ok(Self { access, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens, and its key.
    pub fn access(&self) -> &StoreAccess {
        &self.access
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed already.
            let _ = thread.join();
        }
    }
}
