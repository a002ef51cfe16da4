//! The sidecar, as the agent sees it: frames in, frames out, over a connection
//! that is made again when it breaks.
//!
//! ```text
//!   frames ──► kept ──► connection ──► sidecar
//!                ▲  LinesStored  ◄────────┤
//!   orders ◄─────────────────── the rest ◄┘
//!
//!   broken: dial, dial …  ──► Hello, State, the lines that are not stored
//!           after a while the oldest lines go to the container's own log
//! ```
//!
//! While a sidecar is connected, a full store pushes back on the command's
//! pipes. Where no line is stored for [`Peer::away_limit`], because the sidecar is
//! gone or its service is, the oldest go to the container's own log instead: the
//! command, and the word of its end, wait no longer.

mod away;
mod inbox;
mod kept;

use std::path::PathBuf;
use std::time::Duration;

use osmo_protocol::socket::{AgentState, Frame};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::dial::Backoff;
use crate::log;
use away::Away;
use inbox::Inbox;
use kept::Kept;
pub use kept::{BYTES_MAX as KEPT_BYTES_MAX, LINES_MAX as KEPT_LINES_MAX};

/// Frames that wait to be kept; then the command's pipes fill up.
pub const FRAMES_QUEUED_MAX: usize = 64;

/// Frames are written together up to this size.
const BATCH_BYTES: usize = 64 << 10;
/// How long a full store waits for a first `LinesStored`: other sidecars send none.
const FIRST_STORED_LIMIT: Duration = Duration::from_secs(1);
/// How long the last lines may take to be stored once the end is told.
const LINGER: Duration = Duration::from_secs(5);
/// A connection that lives so long is one.
const SETTLED: Duration = Duration::from_secs(1);

/// What the sidecar means for the agent.
#[derive(Debug)]
pub(crate) enum Order {
    /// It said this.
    Frame(Frame),
    /// It went away and did not come back in time.
    Gone,
}

/// Everything between the agent and its sidecar.
pub(crate) struct Peer {
    /// Where the sidecar listens.
    pub(crate) socket: PathBuf,
    /// What opens its door.
    pub(crate) token: String,
    /// How long lines wait for a sidecar that went away.
    pub(crate) away_limit: Duration,
    /// Where the command is.
    pub(crate) state: watch::Receiver<AgentState>,
    /// What it is told.
    pub(crate) frames: mpsc::Receiver<Frame>,
    /// What it says.
    pub(crate) orders: mpsc::Sender<Order>,
}

/// Why a connection is over.
enum Over {
    /// All is told.
    Told,
    /// It broke.
    Broken,
}

/// The peer's running state.
struct Talk {
    peer: Peer,
    kept: Kept,
    /// Since when there is no sidecar; a connection that breaks at once counts
    /// as none.
    away: Option<Instant>,
    backoff: Backoff,
    /// Lines that went to the own log meanwhile.
    spilled: u64,
    /// The store is full, and the sidecar has had none of it stored for too long.
    stuck: bool,
    /// When the end was first written to a sidecar in full.
    told: Option<Instant>,
}

impl Peer {
    /// Talks until the end is told, or nobody listens for it.
    pub(crate) async fn serve(self, stream: UnixStream) {
        let (kept, backoff) = (Kept::default(), Backoff::default());
        let mut talk =
            Talk { peer: self, kept, away: None, backoff, spilled: 0, stuck: false, told: None };
        let mut stream = stream;
        loop {
            match talk.over(stream).await {
                Over::Told => return talk.tell_untold(),
                Over::Broken => {}
            }
            match talk.away().await {
                Away::Back(again) => stream = again,
                Away::GaveUp => return talk.give_up(),
            }
        }
    }
}

impl Talk {
    /// Talks over `stream` until it breaks or all is told.
    async fn over(&mut self, stream: UnixStream) -> Over {
        let (reader, mut writer) = stream.into_split();
        let mut inbox = Inbox::new(reader);
        let (begin, mut full_since) = (Instant::now(), None);
        self.tell_spilled();
        self.stuck = false;
        let mut out = self.greeting();
        let mut written = 0;
        loop {
            if written == out.len() {
                (out, written) = (self.kept.batch(BATCH_BYTES), 0);
            }
            let is_written = out.is_empty();
            if is_written && self.kept.has_end() {
                let told = *self.told.get_or_insert_with(Instant::now);
                if self.kept.is_settled() || told.elapsed() >= LINGER {
                    return Over::Told;
                }
            }
            full_since = self.kept.is_full().then(|| full_since.unwrap_or_else(Instant::now));
            let impatient = full_since.filter(|_| self.kept.may_forget());
            let stuck_at = full_since.map(|since| since + self.peer.away_limit);
            let linger = self.told.map_or(begin + LINGER, |told| told + LINGER);
            tokio::select! {
                frame = self.peer.frames.recv(), if !self.kept.is_full() => match frame {
                    Some(frame) => self.take(frame),
                    // Everybody who speaks is gone: the agent ends.
                    None => return Over::Told,
                },
                result = writer.write(&out[written..]), if !is_written => match result {
                    Ok(count @ 1..) => written += count,
                    _ => return Over::Broken,
                },
                frame = inbox.next() => match frame {
                    Some(frame) => self.heard(frame).await,
                    None => return Over::Broken,
                },
                () = at(impatient.map(|since| since + FIRST_STORED_LIMIT)) => self.kept.forget(),
                () = at(stuck_at), if !self.stuck => self.stuck = true,
                () = log::room(), if self.stuck && self.kept.is_full() => self.spill_beside(),
                () = sleep_until(linger), if is_written && self.told.is_some() => {}
                () = sleep_until(begin + SETTLED), if self.away.is_some() => self.is_back(),
            }
        }
    }

    /// Takes what waits together, so that it is written together.
    fn take(&mut self, first: Frame) {
        self.kept.push(first);
        while !self.kept.is_full() {
            let Ok(frame) = self.peer.frames.try_recv() else { return };
            self.kept.push(frame);
        }
    }

    fn greeting(&mut self) -> Vec<u8> {
        let token = self.peer.token.clone();
        let state = *self.peer.state.borrow();
        let hello = Frame::Hello { token, session: None }.encode();
        [hello, Frame::State { state }.encode()].concat()
    }

    async fn heard(&mut self, frame: Frame) {
        self.is_back();
        match frame {
            Frame::LinesStored { lines } => {
                if self.kept.stored(lines) && std::mem::take(&mut self.stuck) {
                    self.tell_stuck();
                }
            }
            frame => {
                // Fails only when the agent is ending.
                let _ = self.peer.orders.send(Order::Frame(frame)).await;
            }
        }
    }

    /// The sidecar is there for good: it spoke, or stayed.
    fn is_back(&mut self) {
        self.backoff = Backoff::default();
        self.away = None;
    }
}

/// At `instant`; never when there is none.
pub(crate) async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
