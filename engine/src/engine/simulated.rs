//! One engine in a simulated world: its control side and one shard, on the
//! calling thread.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Notify, Semaphore, oneshot};

use super::control::Control;
use super::{Command, Shared, usage};
use crate::config::{Access, IoChoice};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::report::Report;
use crate::s3::Opened;
use crate::tally::Tally;
use crate::waits::Waits;
use crate::worker::{self, ORDERS_MAX};

/// A job's life: its report, and the buffers that were not returned.
pub type Simulated = Pin<Box<dyn Future<Output = (Result<Report>, usize)>>>;

/// Runs `job` against the store `opened` with `memory_bytes` of buffers, as a
/// task of the thread's paused runtime; what comes first cancels it.
///
/// # Errors
/// The thread lives in no simulation.
pub fn simulated(
    job: Job,
    opened: Opened,
    memory_bytes: usize,
) -> Result<(impl Fn() + use<>, Simulated)> {
    let waits = Waits::default();
    let start = worker::Start { number: 0, io: IoChoice::Sim, memory_bytes, waits };
    let (shard, served) = worker::simulated(&start)?;
    let control = Rc::new(Control {
        shards: [shard].into(),
        places: Arc::new(Semaphore::new(ORDERS_MAX)),
        access: Access::default(),
        waits,
        jobs: RefCell::default(),
        next: Cell::new(0),
        opened: Some(opened),
    });
    let tally = Arc::new(Tally::new(None));
    let shared = Arc::new(Shared { tally, cancel: Notify::new() });
    let cancelled = Arc::clone(&shared);
    let cancel = move || cancelled.cancel();
    let (done, ended) = oneshot::channel();
    let command = Command { job, shared, started: Instant::now(), usage: usage::usage(), done };
    // The control side holds the shard's mailbox, whose end ends the shard.
    let controlled = control.job(command);
    let simulated: Simulated = Box::pin(async move {
        let ((), left) = tokio::join!(controlled, served);
        let gone = |_| Err(Error::new(ErrorKind::Internal, "the job ended without a word"));
        (ended.await.unwrap_or_else(gone), left)
    });
    Ok((cancel, simulated))
}
