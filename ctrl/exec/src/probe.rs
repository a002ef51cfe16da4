//! Does anybody listen at a port of the task?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use osmo_protocol::socket::Frame;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// For both addresses together.
const LIMIT: Duration = Duration::from_secs(2);
/// Questions at once; one more is answered as if nobody listened.
const PROBES_MAX: usize = 64;

/// Answers questions about ports.
pub(crate) struct Probes {
    places: Arc<Semaphore>,
    frames: mpsc::Sender<Frame>,
}

impl Probes {
    pub(crate) fn new(frames: mpsc::Sender<Frame>) -> Self {
        Self { places: Arc::new(Semaphore::new(PROBES_MAX)), frames }
    }

    /// Asks `port`; the answer follows as a frame. Without a place it is the
    /// return value.
    pub(crate) fn ask(&self, port: u16) -> Option<Frame> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return Some(Frame::PortRefused { port });
        };
        let frames = self.frames.clone();
        tokio::spawn(async move {
            let is_open = timeout(LIMIT, is_open(port)).await.unwrap_or(false);
            let answer =
                if is_open { Frame::PortReady { port } } else { Frame::PortRefused { port } };
            let _ = frames.send(answer).await;
            drop(place);
        });
        None
    }
}

async fn is_open(port: u16) -> bool {
    for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        if TcpStream::connect(SocketAddr::new(address, port)).await.is_ok() {
            return true;
        }
    }
    false
}
