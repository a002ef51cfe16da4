//! What the sidecar can ask of the agent, for everybody who asks.

use osmo_protocol::socket::Frame;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

/// Why there is no answer, for people.
#[derive(Debug)]
pub(crate) struct NoAnswer(pub(crate) String);

/// The agent; clones share it. Before it is connected, everything is refused.
#[derive(Clone)]
pub(crate) struct Agent {
    orders: mpsc::Sender<Frame>,
    rsync: watch::Receiver<bool>,
}

impl Agent {
    pub(crate) fn new(orders: mpsc::Sender<Frame>, rsync: watch::Receiver<bool>) -> Self {
        Self { orders, rsync }
    }

    /// Sends `frame`; false when the agent reads nothing.
    pub(crate) fn order(&self, frame: Frame) -> bool {
        self.orders.try_send(frame).is_ok()
    }

    /// A terminal that runs `command`: raw bytes both ways.
    #[expect(dead_code, reason = "sessions come next")]
    pub(crate) async fn terminal(&self, command: &str) -> Result<UnixStream, NoAnswer> {
        Err(NoAnswer(format!("no terminal for {command} yet")))
    }

    /// Whether somebody listens at `port`.
    #[expect(dead_code, reason = "sessions come next")]
    pub(crate) async fn probe(&self, port: u16) -> Result<(), NoAnswer> {
        Err(NoAnswer(format!("no probe of port {port} yet")))
    }

    /// Whether the rsync daemon runs.
    #[expect(dead_code, reason = "sessions come next")]
    pub(crate) fn rsync_runs(&self) -> bool {
        *self.rsync.borrow()
    }

    /// So many more lines of the agent need not be kept.
    pub(crate) fn stored(&self, lines: u64) {
        self.order(Frame::LinesStored { lines });
    }
}
