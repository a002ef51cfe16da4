//! The facade: an [`Engine`] takes [`Job`]s and answers with [`Report`]s.
//!
//! ```text
//!  caller ──submit──► control thread ──orders──► shard threads
//!         ◄─JobHandle─  lists, plans,             one ring, one pool,
//!          (Tally)      multipart life cycle      connections each
//! ```
//!
//! One control thread (SDK calls, credentials, planning) and N shard threads
//! (bytes). Dropping the engine cancels what runs and joins its threads.
//!
//! Limits: [`JOBS_MAX`] jobs at once; the memory budget is one hard cap over
//! all of them and does not grow with objects, parts or connections.

mod control;
mod order;
mod quota;
#[cfg(feature = "sim")]
mod simulated;
mod tasks;
mod usage;
mod waiting;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot};

#[cfg(feature = "sim")]
pub use simulated::{Simulated, simulated};

use crate::config::EngineConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::report::{IoReport, Progress, Report, Usage};
use crate::tally::{Tally, Unfinished};
use crate::worker;

/// Jobs that are submitted and not yet ended.
pub const JOBS_MAX: usize = 64;

/// Shards by default: one thread moves what a small pod's network brings.
const SHARDS_FEW_CPUS: usize = 1;
const SHARDS_MANY_CPUS: usize = 2;
const MANY_CPUS: usize = 4;

/// The engine.
pub struct Engine {
    io: IoReport,
    orders: Option<mpsc::Sender<Command>>,
    shutdown: Arc<Notify>,
    threads: Vec<JoinHandle<usize>>,
}

/// A job on its way to the control thread.
struct Command {
    job: Job,
    shared: Arc<Shared>,
    started: Instant,
    usage: Usage,
    done: oneshot::Sender<Result<Report>>,
}

/// What the caller and the control thread share of a job.
struct Shared {
    tally: Arc<Tally>,
    cancel: Notify,
}

impl Shared {
    fn cancel(&self) {
        self.tally.cancel();
        // Kept until the control thread looks, if it does not wait yet.
        self.cancel.notify_one();
    }
}

impl Engine {
    /// Starts the threads and opens the drivers.
    ///
    /// # Errors
    /// `Unsupported` when the chosen driver is refused, `Config` for a memory
    /// budget that no transfer fits into.
    pub fn start(config: EngineConfig) -> Result<Self> {
        let shards = config.shards.unwrap_or_else(|| {
            if quota::cpus() >= MANY_CPUS { SHARDS_MANY_CPUS } else { SHARDS_FEW_CPUS }
        });
        let shards = shards.max(1);
        let memory_bytes = config.memory_bytes / shards;
        if memory_bytes < worker::SHARD_BYTES_MIN {
            let sentence = format!(
                "a memory budget of {} bytes is too small for {shards} shard(s); allow at least \
                 {} bytes",
                config.memory_bytes,
                worker::SHARD_BYTES_MIN * shards
            );
            return Err(Error::new(ErrorKind::Config, sentence));
        }
        let mut handles = Vec::with_capacity(shards);
        let mut threads = Vec::with_capacity(shards + 1);
        let mut io = None;
        for number in 0..shards {
            let start = worker::Start { number, io: config.io, memory_bytes, waits: config.waits };
            let (thread, started) = start_shard(start)?;
            threads.push(thread);
            let (shard, report) = started?;
            handles.push(shard);
            io.get_or_insert(report);
        }
        let io = io.ok_or_else(|| Error::new(ErrorKind::Internal, "no shard was started"))?;
        if io.fell_back {
            tracing::info!(driver = io.driver, reason = %io.reason, "fell back to another driver");
        }
        let (orders, commands) = mpsc::channel(JOBS_MAX);
        let shutdown = Arc::new(Notify::new());
        let stop = Arc::clone(&shutdown);
        let (access, waits) = (config.access, config.waits);
        threads.push(spawn("osmo-control", move || {
            control::run(handles, access, waits, commands, &stop);
            0
        })?);
        // The control thread ends first: it holds the shards' mailboxes.
        threads.reverse();
        Ok(Self { io, orders: Some(orders), shutdown, threads })
    }

    /// Cancels what runs, waits for the threads, and answers how many buffers
    /// were not returned: none. A thread that panicked counts as one.
    pub fn close(mut self) -> usize {
        self.join()
    }

    fn join(&mut self) -> usize {
        self.shutdown.notify_one();
        self.orders = None;
        // A thread that panicked has told so on stderr already.
        self.threads.drain(..).map(|thread| thread.join().unwrap_or(1)).sum()
    }

    /// The driver in use, and why.
    pub fn io(&self) -> IoReport {
        self.io.clone()
    }

    /// Queues a job; several run at once under one memory budget.
    pub fn submit(&self, job: Job) -> JobHandle {
        let observer = match &job {
            Job::Download(job) => job.observer.clone(),
            Job::Upload(job) => job.observer.clone(),
            Job::Delete(job) => job.observer.clone(),
            Job::List(_) | Job::Check(_) => None,
        };
        let tally = Arc::new(Tally::new(observer));
        let shared = Arc::new(Shared { tally, cancel: Notify::new() });
        let (done, ended) = oneshot::channel();
        let command = Command {
            job,
            shared: Arc::clone(&shared),
            started: Instant::now(),
            usage: usage::usage(),
            done,
        };
        if let Some(orders) = &self.orders
            && let Err(mpsc::error::TrySendError::Full(command)) = orders.try_send(command)
        {
            let sentence = format!("more than {JOBS_MAX} jobs wait; let some of them end first");
            let _ = command.done.send(Err(Error::new(ErrorKind::Usage, sentence)));
        }
        JobHandle { shared, ended }
    }
}

type Started = Result<(worker::Shard, IoReport)>;

fn start_shard(start: worker::Start) -> Result<(JoinHandle<usize>, Started)> {
    let (tell, told) = crossbeam_channel::bounded(1);
    let name = format!("osmo-shard-{}", start.number);
    let thread = spawn(&name, move || {
        worker::run(&start, |started| {
            let _ = tell.send(started);
        })
    })?;
    let started = told.recv().unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Internal, "a shard thread ended before it started"))
    });
    Ok((thread, started))
}

fn spawn(name: &str, run: impl FnOnce() -> usize + Send + 'static) -> Result<JoinHandle<usize>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|error| {
        Error::new(ErrorKind::Local, format!("cannot start the thread {name}")).because(error)
    })
}

impl Drop for Engine {
    fn drop(&mut self) {
        let left = self.join();
        debug_assert!(left == 0 || std::thread::panicking(), "the engine did not end in order");
    }
}

/// A running job. Dropping it leaves the job alone.
pub struct JobHandle {
    shared: Arc<Shared>,
    ended: oneshot::Receiver<Result<Report>>,
}

impl JobHandle {
    /// Where it stands.
    pub fn progress(&self) -> Progress {
        self.shared.tally.progress()
    }

    /// Asks it to stop; it then ends with [`crate::ErrorKind::Cancelled`] and
    /// leaves nothing half-written. Asked again it does not wait for the store to
    /// remove unfinished uploads either: [`JobHandle::unfinished`] names them.
    pub fn cancel(&self) {
        self.shared.cancel();
    }

    /// A handle that only cancels, for whoever else may have to.
    pub fn canceller(&self) -> impl Fn() + Send + Sync + Clone + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.cancel()
    }

    /// A handle that only looks, for whoever shows it while another waits.
    pub fn watcher(&self) -> impl Fn() -> Progress + Send + Sync + Clone + 'static {
        let tally = Arc::clone(&self.shared.tally);
        move || tally.progress()
    }

    /// The multipart uploads that the store may keep, also after the job's end.
    pub fn unfinished(&self) -> Unfinished {
        self.shared.tally.unfinished().clone()
    }

    /// Waits for the end. `Err` means the job as a whole could not be done;
    /// failures of single files are in the report, and [`Report::outcome`]
    /// turns them into an error.
    ///
    /// # Errors
    /// As the job's kind documents.
    pub fn wait(self) -> Result<Report> {
        waiting::block_on(self.finished())
    }

    /// The same for async callers, on any runtime.
    ///
    /// # Errors
    /// As [`JobHandle::wait`].
    pub async fn finished(self) -> Result<Report> {
        self.ended.await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Internal, "the engine ended before the job did"))
        })
    }
}

impl Report {
    /// The report, or `Partial` naming the first failure when some file did
    /// not make it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Partial`], or the failure's own kind when nothing
    /// at all was moved.
    pub fn outcome(self) -> Result<Self> {
        let Some(first) = self.failures.first() else { return Ok(self) };
        let reason = format!("{}: {}", first.name, first.reason);
        if self.files == 0 && self.files_skipped == 0 && self.files_deleted == 0 {
            let others = self.failures_total.saturating_sub(1);
            let others = if others > 0 { format!(" (and {others} more)") } else { String::new() };
            return Err(Error::new(first.kind, format!("{reason}{others}")));
        }
        let sentence = format!(
            "{} of {} files did not make it, the first of them {reason}",
            self.failures_total,
            self.failures_total + self.files + self.files_skipped + self.files_deleted
        );
        Err(Error::new(ErrorKind::Partial, sentence))
    }
}
