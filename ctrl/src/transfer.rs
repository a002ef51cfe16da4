//! Inputs and outputs: from items to jobs, and from progress to words.
//!
//! ```text
//!   Input, Output ──► Order ──► Mover (the engine; a fake in tests) ──► Moved
//!                                  │ progress
//!                                  ▼
//!                        DOWNLOAD / UPLOAD lines, events
//! ```
//!
//! Invariants: at most [`ORDERS_AT_ONCE`] orders move at a time; the first
//! failure cancels the others of a download, while an upload saves what it can;
//! a transfer that stands still for `-dataTimeout` is begun anew, five times.

mod check;
pub(crate) mod engine;
pub(crate) mod ledger;
pub(crate) mod left;
mod listing;
pub(crate) mod outputs;
mod plan;
mod watch;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use osmo_engine::job::Purpose;
use osmo_engine::{ErrorKind, Progress, Report, UploadLeft};
use osmo_protocol::events::Phase;
use osmo_protocol::exit::ExitCode;
use osmo_protocol::items::Owner;
use osmo_protocol::logger::LineType;
use tokio::sync::watch as signal;

use crate::flags::Flags;
use crate::lifecycle::Failure;
use crate::logs::Log;
use ledger::Sent;
use osmo_protocol::items::{Input, Output};

/// Orders that move at the same time.
pub(crate) const ORDERS_AT_ONCE: usize = 4;

/// One item, ready to be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) phase: Phase,
    pub(crate) owner: Owner,
    pub(crate) url: String,
    /// A folder for a download; a file, or `folder/*`, for an upload.
    pub(crate) local: PathBuf,
    pub(crate) regex: Option<String>,
    /// Credentials, where the file exists.
    pub(crate) config: Option<PathBuf>,
    /// As people know it.
    pub(crate) name: String,
    /// What is said when it is done.
    pub(crate) done: String,
}

/// What an order came to.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    pub(crate) order: Order,
    pub(crate) begin: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) bytes: u64,
    pub(crate) files: u64,
    pub(crate) verified: u64,
}

/// All orders of a phase.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transferred {
    pub(crate) moved: Vec<Moved>,
    pub(crate) failure: Option<Failure>,
}

/// A pending result.
pub(crate) type Finished = Pin<Box<dyn Future<Output = osmo_engine::Result<Report>> + Send>>;

/// A transfer under way, and its end: files that did not make it are a failure.
pub(crate) type Begun = (Box<dyn Moving>, Finished);

/// A pending answer: whether access is there.
pub(crate) type Checked = Pin<Box<dyn Future<Output = osmo_engine::Result<()>> + Send>>;

/// How an order is performed.
#[derive(Clone, Default)]
pub(crate) struct Way {
    /// Keeps what an earlier try has finished, for a download.
    pub(crate) resume: bool,
    /// Who decides on each file, for an upload.
    pub(crate) ledger: Option<Arc<dyn osmo_engine::Ledger>>,
    /// Leaves the network to others.
    pub(crate) gentle: bool,
}

/// What moves bytes.
pub(crate) trait Mover: Send + Sync {
    /// Begins an order.
    fn submit(&self, order: &Order, way: Way) -> osmo_engine::Result<Begun>;
    /// Begins to find out whether `url` may be used.
    fn check(&self, url: &str, purpose: Purpose, config: Option<PathBuf>) -> Checked;
    /// Multipart uploads that the store may keep of what does not move any more.
    fn uploads_left(&self) -> Vec<UploadLeft> {
        Vec::new()
    }
    /// The driver in use, empty while none was needed.
    fn driver(&self) -> String;
    /// Nothing moves for a while: gives back what only moving needs, unless an
    /// order is under way. The next order begins as the first did.
    fn rest(&self) {}
    /// Nothing moves any more: gives back everything, and answers how many
    /// buffers were not returned. It waits for threads.
    fn end(&self) -> usize {
        0
    }
}

/// A transfer under way.
pub(crate) trait Moving: Send + Sync {
    fn progress(&self) -> Progress;
    fn cancel(&self);
}

/// Everything a phase of transfers needs.
#[derive(Clone)]
pub(crate) struct Transfers {
    pub(crate) mover: Arc<dyn Mover>,
    pub(crate) flags: Arc<Flags>,
    pub(crate) log: Log,
    /// Turns true when everything is to be given up.
    pub(crate) cancelled: signal::Receiver<bool>,
    /// Downloads keep what another sidecar has finished.
    pub(crate) resume: bool,
    /// Which files are in the store.
    pub(crate) sent: Arc<Sent>,
    /// Where files are listed that did not make it, where there is a place.
    pub(crate) journal: Option<PathBuf>,
}

impl Transfers {
    /// Downloads all inputs, once access to all places is known to be there.
    pub(crate) async fn download(self, inputs: Vec<Input>, outputs: &[Output]) -> Transferred {
        if let Err(failure) = self.check(&inputs, outputs).await {
            return Transferred { failure: Some(failure), ..Transferred::default() };
        }
        let say = |text: &str| self.log.say(LineType::Download, text);
        say("Downloading Start");
        let orders = inputs.iter().map(|input| plan::download(&self.flags, input)).collect();
        let all = self.perform(orders, true).await;
        if all.failure.is_none() {
            for moved in &all.moved {
                listing::lines(&moved.order.local).iter().for_each(|line| say(line));
            }
            say("All Inputs Gathered");
        }
        all
    }

    /// Uploads all outputs, if there is anything.
    pub(crate) async fn upload(self, outputs: Vec<Output>) -> Transferred {
        let say = |text: &str| self.log.say(LineType::Upload, text);
        say("Upload Start");
        if plan::is_empty(&self.flags.output_folder) {
            say("No Files in Output Folder");
            return Transferred::default();
        }
        let (mut orders, mut missing) = (Vec::new(), Vec::new());
        for output in &outputs {
            match plan::upload(&self.flags, output) {
                Ok(order) => orders.push(order),
                Err(line) => missing.push(line),
            }
        }
        missing.iter().for_each(|line| say(line));
        let mut all = self.perform(orders.clone(), false).await;
        let Some(failure) = all.failure.take() else {
            say("All Outputs Uploaded");
            return all;
        };
        all.failure = Some(self.left_behind(orders, failure).await);
        all
    }

    /// Performs `orders`, a few at a time.
    async fn perform(&self, orders: Vec<Order>, stop_at_failure: bool) -> Transferred {
        let mut waiting = orders.into_iter();
        let mut moving = FuturesUnordered::new();
        let mut all = Transferred::default();
        loop {
            while moving.len() < ORDERS_AT_ONCE
                && !(stop_at_failure && all.failure.is_some())
                && !(all.failure.is_some() && *self.cancelled.borrow())
                && let Some(order) = waiting.next()
            {
                moving.push(self.one(order));
            }
            match moving.next().await {
                Some(Ok(moved)) => all.moved.push(moved),
                Some(Err(failure)) => {
                    all.failure.get_or_insert(failure);
                    if stop_at_failure {
                        // Dropping the others cancels them.
                        return all;
                    }
                }
                None => return all,
            }
        }
    }

    async fn one(&self, order: Order) -> Result<Moved, Failure> {
        let (line, verb) = match order.phase {
            Phase::Download => (LineType::Download, "Downloading"),
            _ => (LineType::Upload, "Uploading"),
        };
        self.log.say(line, &format!("{verb} {}", order.name));
        if order.phase == Phase::Download
            && let Err(error) = std::fs::create_dir_all(&order.local)
        {
            let place = order.local.display();
            let sentence = format!("Cannot create the input folder {place}: {error}");
            return Err(Failure::new(ExitCode::FileFailed, sentence));
        }
        let begin = Timestamp::now();
        let report =
            watch::follow(self, &order, line).await.map_err(|error| failure(&order, &error))?;
        self.log.say(line, &order.done);
        let verified = report.verification.verified.values().sum();
        let (bytes, files) = (report.bytes, report.files + report.files_skipped);
        Ok(Moved { order, begin, end: Timestamp::now(), bytes, files, verified })
    }
}

/// The engine's failure as the sidecar's: `Denied` has a code of its own.
fn failure(order: &Order, error: &osmo_engine::Error) -> Failure {
    let (verb, code) = match order.phase {
        Phase::Download => ("download", ExitCode::Download),
        _ => ("upload", ExitCode::Upload),
    };
    let code = match error.kind() {
        ErrorKind::Denied => ExitCode::AccessDenied,
        ErrorKind::Usage | ErrorKind::Config => ExitCode::InvalidInput,
        ErrorKind::NotFound
        | ErrorKind::Unreachable
        | ErrorKind::Throttled
        | ErrorKind::Protocol
        | ErrorKind::Store
        | ErrorKind::Changed
        | ErrorKind::Corrupt
        | ErrorKind::Unverified
        | ErrorKind::KeyRefused
        | ErrorKind::Exists
        | ErrorKind::DiskFull
        | ErrorKind::Local
        | ErrorKind::Partial
        | ErrorKind::Cancelled
        | ErrorKind::Unsupported
        | ErrorKind::Internal => code,
    };
    Failure::new(code, format!("Cannot {verb} {}: {error}", order.url))
}

#[cfg(test)]
mod tests;
