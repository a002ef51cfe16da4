//! A hop that counts what goes to the service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Bytes both ways; the listener lives as long as the runtime.
pub(super) struct Relay {
    pub(super) port: u16,
    up: Arc<AtomicU64>,
    down: Arc<AtomicU64>,
}

impl Relay {
    pub(super) async fn start(service: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (up, down) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counters = (Arc::clone(&up), Arc::clone(&down));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(service).await else { continue };
                let ((from_near, to_near), (from_far, to_far)) =
                    (near.into_split(), far.into_split());
                tokio::spawn(pass(from_near, to_far, Arc::clone(&counters.0)));
                tokio::spawn(pass(from_far, to_near, Arc::clone(&counters.1)));
            }
        });
        Ok(Self { port, up, down })
    }

    /// To the service, until now.
    pub(super) fn up(&self) -> u64 {
        self.up.load(Relaxed)
    }

    /// Both ways, until now.
    pub(super) fn both(&self) -> u64 {
        self.up() + self.down.load(Relaxed)
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, count: Arc<AtomicU64>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(got @ 1..) = from.read(&mut buffer).await {
        count.fetch_add(got as u64, Relaxed);
        if to.write_all(&buffer[..got]).await.is_err() {
            break;
        }
    }
}
