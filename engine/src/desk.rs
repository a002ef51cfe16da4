//! What planning works with on the control thread: the store's control plane,
//! with the one retry policy around every question.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::clock::Chance;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::{Retry, given_up};
use crate::s3::{Control, ObjectInfo, Page, PartDone};
use crate::tally::Tally;
use crate::waits::Waits;

/// One job's side of the control thread. Not `Send`.
#[derive(Clone)]
pub struct Desk {
    control: Rc<dyn Control>,
    bucket: Arc<str>,
    tally: Arc<Tally>,
    waits: Waits,
    chance: Rc<RefCell<Chance>>,
}

impl Desk {
    /// A desk for `bucket`.
    pub fn new(
        control: Rc<dyn Control>,
        bucket: Arc<str>,
        tally: Arc<Tally>,
        waits: &Waits,
    ) -> Self {
        let chance = Rc::new(RefCell::new(Chance::from_clock()));
        Self { control, bucket, tally, waits: *waits, chance }
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
        let mut retry = Retry::new(self.waits.retry);
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
    /// waiting for it longer than [`Waits::abort`].
    pub async fn abort(&self, key: &str, upload: &str) {
        let abort = async || self.control.abort(&self.bucket, key, upload).await;
        let longest = self.waits.abort;
        let why = match tokio::time::timeout(longest, self.ask(key, abort)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the store did not answer within {longest:?}"),
        };
        self.tally.note(format!(
            "the unfinished upload of {key} could not be removed from the store; a lifecycle \
             rule for incomplete uploads will: {why}"
        ));
    }
}

/// The end of a job that somebody stopped.
pub fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the transfer was cancelled")
}
