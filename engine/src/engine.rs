//! The facade: an [`Engine`] takes [`Job`]s and answers with [`Report`]s.
//!
//! One control thread (SDK calls, credentials, planning) and N shard threads
//! (bytes). Dropping the engine cancels what runs and joins its threads.

use crate::config::EngineConfig;
use crate::error::Result;
use crate::job::Job;
use crate::report::{IoReport, Progress, Report};

/// The engine.
pub struct Engine {}

impl Engine {
    /// Starts the threads and opens the drivers.
    ///
    /// # Errors
    /// `Unsupported` when the chosen driver is refused, `Config` for a memory
    /// budget that no transfer fits into.
    pub fn start(_config: EngineConfig) -> Result<Self> {
        todo!()
    }

    /// The driver in use, and why.
    pub fn io(&self) -> IoReport {
        todo!()
    }

    /// Queues a job; several run at once under one memory budget.
    pub fn submit(&self, _job: Job) -> JobHandle {
        todo!()
    }
}

/// A running job.
pub struct JobHandle {}

impl JobHandle {
    /// Where it stands.
    pub fn progress(&self) -> Progress {
        todo!()
    }

    /// Asks it to stop; it then ends with [`crate::ErrorKind::Cancelled`] and
    /// leaves nothing half-written.
    pub fn cancel(&self) {}

    /// Waits for the end. `Err` means the job as a whole could not be done;
    /// failures of single files are in the report, and [`Report::outcome`]
    /// turns them into an error.
    ///
    /// # Errors
    /// As the job's kind documents.
    pub fn wait(self) -> Result<Report> {
        todo!()
    }

    /// The same for async callers, on any runtime.
    ///
    /// # Errors
    /// As [`JobHandle::wait`].
    pub async fn finished(self) -> Result<Report> {
        todo!()
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
        todo!()
    }
}
