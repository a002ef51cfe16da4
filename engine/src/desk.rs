//! What planning works with on the control thread: the store's control plane,
//! with the one retry policy around every question.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Chance;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::flow::{Retry, RetryPolicy, given_up};
use crate::s3::{Control, Kept, ObjectInfo, Page, PartDone};
use crate::tally::Tally;

/// The longest wait for the end of an upload that was given up. The job has
/// failed or was cancelled by then, and somebody waits to read why.
const ABORT_MAX: Duration = Duration::from_secs(15);

/// One job's side of the control thread. Not `Send`.
#[derive(Clone)]
pub struct Desk {
    control: Rc<dyn Control>,
    bucket: Arc<str>,
    tally: Arc<Tally>,
    policy: RetryPolicy,
    chance: Rc<RefCell<Chance>>,
}

impl Desk {
    /// A desk for `bucket`.
    pub fn new(control: Rc<dyn Control>, bucket: Arc<str>, tally: Arc<Tally>) -> Self {
        let chance = Rc::new(RefCell::new(Chance::from_clock()));
        Self { control, bucket, tally, policy: RetryPolicy::default(), chance }
    }

    /// The bucket.
    pub fn bucket(&self) -> &Arc<str> {
        &self.bucket
    }

    /// The job's counters.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    async fn ask<T>(&self, subject: &str, question: impl AsyncFn() -> Result<T>) -> Result<T> {
        let mut retry = Retry::new(self.policy);
        loop {
            let error = match question().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if self.tally.cancelled() {
                return Err(cancelled());
            }
            let wait = retry.after(error.class(), false, &mut self.chance.borrow_mut());
            let Some(wait) = wait else { return Err(given_up(retry.failed(), error)) };
            self.tally.retried(subject, retry.failed(), wait, &error);
            tokio::time::sleep(wait).await;
        }
    }

    /// One page of keys below `prefix`.
    ///
    /// # Errors
    /// The store's, after the policy's attempts; so for all questions here.
    pub async fn list(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        next: Option<String>,
    ) -> Result<Page> {
        let list = async || self.control.list(&self.bucket, prefix, delimiter, next.clone()).await;
        self.ask(prefix, list).await
    }

    /// The object under exactly this key.
    ///
    /// # Errors
    /// As [`Desk::list`].
    pub async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        self.ask(key, async || self.control.head(&self.bucket, key).await).await
    }

    /// Begins a multipart upload. An answer that was lost on its way may have
    /// left an upload whose id nobody knows, so it cannot be aborted; that is
    /// said once, for each file it may have happened to.
    ///
    /// # Errors
    /// As [`Desk::list`].
    pub async fn create(&self, key: &str, content_type: &str) -> Result<String> {
        let lost = Cell::new(false);
        let create = async || {
            let created = self.control.create(&self.bucket, key, content_type).await;
            let kind = created.as_ref().err().map(Error::kind);
            lost.set(lost.get() || kind == Some(ErrorKind::Unreachable));
            created
        };
        let created = self.ask(key, create).await;
        if lost.get() && created.is_ok() {
            self.tally.note(format!(
                "the store may keep an unfinished upload of {key}, because its answer to the \
                 first request was lost; a lifecycle rule for incomplete uploads removes it"
            ));
        }
        created
    }

    /// Ends a multipart upload.
    ///
    /// # Errors
    /// As [`Desk::list`].
    pub async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: &[PartDone],
        crc64nvme: &str,
    ) -> Result<Option<String>> {
        let complete = async || {
            let crc = Some(crc64nvme.to_owned());
            self.control.complete(&self.bucket, key, upload, parts.to_vec(), crc).await
        };
        self.ask(key, complete).await
    }

    /// Gives a multipart upload up; a cancelled job asks once. Nobody is kept
    /// waiting for it longer than 15 s.
    pub async fn abort(&self, key: &str, upload: &str) {
        let abort = async || self.control.abort(&self.bucket, key, upload).await;
        let why = match tokio::time::timeout(ABORT_MAX, self.ask(key, abort)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the store did not answer within {ABORT_MAX:?}"),
        };
        self.tally.note(format!(
            "the unfinished upload of {key} could not be removed from the store; a lifecycle \
             rule for incomplete uploads will: {why}"
        ));
    }
}

/// Removing, and looking whether one may.
impl Desk {
    /// Removes up to 1,000 objects in one request; answers with those that the
    /// store kept. Keys that it kept for a passing reason are tried again with
    /// the next attempt.
    ///
    /// # Errors
    /// As [`Desk::list`].
    pub async fn delete_batch(&self, keys: Vec<String>) -> Result<Vec<Kept>> {
        let (left, kept) = (RefCell::new(keys), RefCell::new(Vec::new()));
        let delete = async || {
            let named = left.borrow().clone();
            let refused = self.control.delete_batch(&self.bucket, &named).await?;
            let (passing, lasting): (Vec<_>, Vec<_>) = refused.into_iter().partition(|kept| {
                matches!(kept.error.class(), RetryClass::Retry | RetryClass::Throttle)
            });
            kept.borrow_mut().extend(lasting);
            left.replace(passing.iter().map(|kept| kept.key.clone()).collect());
            match passing.into_iter().next() {
                Some(Kept { error, .. }) => Err(error),
                None => Ok(()),
            }
        };
        let ended = self.ask("a batch of deletions", delete).await;
        let mut kept = kept.into_inner();
        match ended {
            Ok(()) => Ok(kept),
            // What the store did answer about is not lost with the rest.
            Err(error) if !kept.is_empty() => {
                let again = |key| Kept { key, error: error.copy() };
                kept.extend(left.into_inner().into_iter().map(again));
                Ok(kept)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes the object under exactly this key.
    ///
    /// # Errors
    /// As [`Desk::list`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.ask(key, async || self.control.delete(&self.bucket, key).await).await
    }

    /// Whether the bucket answers to these credentials.
    ///
    /// # Errors
    /// As [`Desk::list`].
    pub async fn reach(&self) -> Result<()> {
        self.ask(&self.bucket, async || self.control.reach(&self.bucket).await).await
    }
}

/// The end of a job that somebody stopped.
pub fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the transfer was cancelled")
}
