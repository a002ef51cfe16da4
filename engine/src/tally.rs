//! What a running job has done so far: one place that every thread counts in
//! and that [`crate::JobHandle`] reads.

mod breaker;
mod unfinished;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};
use crate::job::Observer;
use crate::report::{
    Action, FAILURES_KEPT, FileFailure, JobEvent, Progress, Verdict, Verification,
};
use crate::waits::RetryPolicy;

use breaker::Breaker;

pub use unfinished::{Unfinished, UploadLeft};

/// A job's counters, failures and stop flag.
pub struct Tally {
    planned: AtomicBool,
    cancelled: AtomicBool,
    abandoned: watch::Sender<bool>,
    unchecked: AtomicBool,
    files_total: AtomicU64,
    files_done: AtomicU64,
    files_skipped: AtomicU64,
    files_deleted: AtomicU64,
    files_planned: AtomicU64,
    bytes_planned: AtomicU64,
    bytes_total: AtomicU64,
    bytes_done: AtomicU64,
    bytes_visible: AtomicU64,
    bytes_resumed: AtomicU64,
    retries: AtomicU64,
    hedges: AtomicU64,
    failures: Mutex<Failures>,
    verified: Mutex<Verification>,
    breaker: Mutex<Breaker>,
    dead: AtomicBool,
    unfinished: Unfinished,
    observer: Option<Observer>,
}

#[derive(Default)]
struct Failures {
    kept: Vec<FileFailure>,
    total: u64,
}

// Every change under these locks is one insertion, so a panic elsewhere leaves
// them whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    /// Nothing done yet.
    pub fn new(observer: Option<Observer>) -> Self {
        Self {
            planned: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            abandoned: watch::Sender::new(false),
            unchecked: AtomicBool::new(false),
            files_total: AtomicU64::new(0),
            files_done: AtomicU64::new(0),
            files_skipped: AtomicU64::new(0),
            files_deleted: AtomicU64::new(0),
            files_planned: AtomicU64::new(0),
            bytes_planned: AtomicU64::new(0),
            bytes_total: AtomicU64::new(0),
            bytes_done: AtomicU64::new(0),
            bytes_visible: AtomicU64::new(0),
            bytes_resumed: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            hedges: AtomicU64::new(0),
            failures: Mutex::default(),
            verified: Mutex::default(),
            breaker: Mutex::default(),
            dead: AtomicBool::new(false),
            unfinished: Unfinished::default(),
            observer,
        }
    }

    /// One more file of `bytes` bytes is to be moved.
    pub fn plan(&self, bytes: u64) {
        self.files_total.fetch_add(1, Ordering::Relaxed);
        self.bytes_total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The totals are final.
    pub fn plan_ended(&self) {
        self.planned.store(true, Ordering::Release);
    }

    /// Some bytes were written or acknowledged.
    pub fn moved(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that an earlier run of the job had fetched already.
    pub fn resumed(&self, bytes: u64) {
        self.bytes_resumed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A planned file has another size by now.
    pub fn replanned(&self, before: u64, now: u64) {
        self.bytes_total.fetch_add(now, Ordering::Relaxed);
        self.bytes_total.fetch_sub(before, Ordering::Relaxed);
    }

    /// An attempt failed as a whole: its bytes do not count.
    pub fn undone(&self, bytes: u64) {
        self.bytes_done.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A file is visible, and was checked so.
    pub fn done(&self, bytes: u64, verdict: Verdict) {
        self.files_done.fetch_add(1, Ordering::Relaxed);
        self.bytes_visible.fetch_add(bytes, Ordering::Relaxed);
        lock(&self.breaker).reached();
        let mut verification = lock(&self.verified);
        let place = match verdict {
            Verdict::Verified(name) => verification.verified.entry(name),
            Verdict::Unverifiable(reason) => {
                verification.unverifiable += 1;
                verification.unverifiable_reasons.entry(reason)
            }
        };
        *place.or_insert(0) += 1;
    }

    /// A file was there already.
    pub fn skipped(&self, bytes: u64) {
        self.files_done.fetch_add(1, Ordering::Relaxed);
        self.files_skipped.fetch_add(1, Ordering::Relaxed);
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A file did not make it, at `now` and after all attempts of `policy`; too
    /// many of them in a row, and the store passes for dead.
    pub fn gave_up(&self, name: &str, error: &Error, now: Instant, policy: &RetryPolicy) {
        if lock(&self.breaker).failed(error.kind(), now, policy) {
            self.dead.store(true, Ordering::Release);
        }
        self.failed(name, error);
    }

    /// Whether another file is worth an attempt.
    ///
    /// # Errors
    /// `Unreachable` once too many files in a row have found nobody.
    pub fn worth_it(&self) -> Result<()> {
        if !self.dead.load(Ordering::Acquire) {
            return Ok(());
        }
        let sentence = "not tried, because nobody has answered at the endpoint for many objects \
                        in a row: check the endpoint URL and the network, then run it again";
        Err(Error::new(ErrorKind::Unreachable, sentence))
    }

    /// An object of `bytes` bytes is gone.
    pub fn deleted(&self, bytes: u64) {
        self.files_done.fetch_add(1, Ordering::Relaxed);
        self.files_deleted.fetch_add(1, Ordering::Relaxed);
        lock(&self.breaker).reached();
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A dry run says what would happen to a planned file.
    pub fn would(&self, action: Action, key: &str, bytes: u64) {
        self.files_done.fetch_add(1, Ordering::Relaxed);
        if action == Action::Skip {
            self.files_skipped.fetch_add(1, Ordering::Relaxed);
        } else {
            self.files_planned.fetch_add(1, Ordering::Relaxed);
            self.bytes_planned.fetch_add(bytes, Ordering::Relaxed);
        }
        self.tell(JobEvent::Would { action, key: key.to_owned(), bytes });
    }

    /// A file did not make it.
    pub fn failed(&self, name: &str, error: &Error) {
        if error.kind() == ErrorKind::Cancelled {
            return;
        }
        let failure =
            FileFailure { name: name.to_owned(), kind: error.kind(), reason: error.to_string() };
        let mut failures = lock(&self.failures);
        failures.total += 1;
        if failures.kept.len() < FAILURES_KEPT {
            failures.kept.push(failure.clone());
        }
        drop(failures);
        self.tell(JobEvent::Failed(failure));
    }

    /// A request is tried again.
    pub fn retried(&self, key: &str, attempt: u32, wait: Duration, error: &Error) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        let (key, reason) = (key.to_owned(), error.to_string());
        self.tell(JobEvent::Retry { key, attempt, wait, reason });
    }

    /// A second request was faster than one that stalled.
    pub fn hedged(&self) {
        self.hedges.fetch_add(1, Ordering::Relaxed);
    }

    /// The multipart uploads that have not ended.
    pub fn unfinished(&self) -> &Unfinished {
        &self.unfinished
    }

    /// A remark on the whole job.
    pub fn note(&self, remark: impl Into<String>) {
        self.tell(JobEvent::Note(remark.into()));
    }

    /// A file went up unchecked; the job remarks on the first one.
    pub fn unchecked(&self, remark: &str) {
        if !self.unchecked.swap(true, Ordering::Relaxed) {
            self.note(remark);
        }
    }

    fn tell(&self, event: JobEvent) {
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }

    /// Asks everybody to stop; asked again, nobody waits for the store either.
    pub fn cancel(&self) {
        if self.cancelled.swap(true, Ordering::AcqRel) {
            self.abandoned.send_replace(true);
        }
    }

    /// Waits until nobody is to wait for the store any more.
    pub async fn abandoned(&self) {
        // An error would mean that the sender is gone, which is this.
        let _ = self.abandoned.subscribe().wait_for(|abandoned| *abandoned).await;
    }

    /// Whether somebody asked to stop.
    pub fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Whether each planned file has ended, one way or another.
    ///
    /// # Errors
    /// `Internal` when some went with a shard thread that broke down: what was
    /// not counted must not pass for done.
    pub fn settled(&self) -> Result<()> {
        let planned = self.files_total.load(Ordering::Relaxed);
        let ended = self.files_done.load(Ordering::Relaxed) + lock(&self.failures).total;
        if ended >= planned {
            return Ok(());
        }
        let lost = planned - ended;
        let sentence = format!(
            "{lost} of {planned} files were lost because a thread of the engine broke down; run \
             the transfer again"
        );
        Err(Error::new(ErrorKind::Internal, sentence))
    }

    /// Where the job stands.
    pub fn progress(&self) -> Progress {
        Progress {
            planned: self.planned.load(Ordering::Acquire),
            files_total: self.files_total.load(Ordering::Relaxed),
            files_done: self.files_done.load(Ordering::Relaxed),
            bytes_total: self.bytes_total.load(Ordering::Relaxed),
            bytes_done: self.bytes_done.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
        }
    }

    /// The counted part of a report.
    pub fn report(&self) -> crate::Report {
        let verification = lock(&self.verified).clone();
        let failures = lock(&self.failures);
        let files_skipped = self.files_skipped.load(Ordering::Relaxed);
        let files_deleted = self.files_deleted.load(Ordering::Relaxed);
        let files_planned = self.files_planned.load(Ordering::Relaxed);
        crate::Report {
            files: self
                .files_done
                .load(Ordering::Relaxed)
                .saturating_sub(files_skipped + files_deleted + files_planned),
            bytes: self.bytes_visible.load(Ordering::Relaxed),
            bytes_resumed: self.bytes_resumed.load(Ordering::Relaxed),
            files_skipped,
            files_deleted,
            files_planned,
            bytes_planned: self.bytes_planned.load(Ordering::Relaxed),
            failures: failures.kept.clone(),
            failures_total: failures.total,
            retries: self.retries.load(Ordering::Relaxed),
            hedges: self.hedges.load(Ordering::Relaxed),
            verification,
            ..crate::Report::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_ended_nowhere_is_missed() {
        let tally = Tally::new(None);
        assert!(tally.settled().is_ok());
        for bytes in [1, 2, 3] {
            tally.plan(bytes);
        }
        tally.done(1, Verdict::Verified("md5"));
        tally.skipped(2);
        let lost = tally.settled().map_err(|error| error.kind());
        assert_eq!(lost, Err(ErrorKind::Internal));
        tally.failed("third", &Error::new(ErrorKind::Local, "it broke"));
        assert!(tally.settled().is_ok());
    }
}
