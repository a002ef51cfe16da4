//! What planning works with on the control thread: the store's control plane,
//! with the one retry policy around every question.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::clock::Chance;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::flow::{Course, Retry, given_up};
use crate::path;
use crate::s3::{Completed, Control, Kept, ObjectInfo, Page, PartDone, PartPage, Rung};
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
            if error.class() == RetryClass::Auth && !self.control.fresh().await {
                return Err(given_up(retry.failed() + 1, error));
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

    /// Counts an object that was given up.
    pub fn gave_up(&self, name: &str, error: &Error) {
        let now = tokio::time::Instant::now().into_std();
        self.tally.gave_up(name, error, now, &self.waits.retry);
    }

    /// The pages of a listing, one after the other.
    pub fn pages<'a>(&'a self, prefix: &'a str, delimiter: Option<&'a str>) -> Pages<'a> {
        Pages { desk: self, prefix, delimiter, course: Course::default(), next: Next::First }
    }

    /// The object under exactly this key.
    ///
    /// # Errors
    /// As [`Desk::list`].
    pub async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        self.ask(key, async || self.control.head(&self.bucket, key).await).await
    }

    /// One page of the parts that an object was made of.
    ///
    /// # Errors
    /// As [`Desk::list`].
    pub async fn parts(&self, key: &str, after: Option<u32>) -> Result<PartPage> {
        self.ask(key, async || self.control.parts(&self.bucket, key, after).await).await
    }

    /// The object that a prefix itself names, if it names one; the empty prefix
    /// and a folder marker name none.
    ///
    /// # Errors
    /// As [`Desk::list`].
    pub async fn at(&self, prefix: &str) -> Result<Option<ObjectInfo>> {
        if prefix.is_empty() || path::is_folder_marker(prefix) {
            return Ok(None);
        }
        self.head(prefix).await
    }

    /// Begins a multipart upload. An answer that was lost on its way may have
    /// left an upload whose id nobody knows, so it cannot be aborted, and so
    /// may one that made no sense; that is said once, for each file it may
    /// have happened to.
    ///
    /// # Errors
    /// As [`Desk::list`].
    pub async fn create(&self, key: &str, content_type: &str, rung: Rung) -> Result<String> {
        let lost = Cell::new(false);
        let create = async || {
            let created = self.control.create(&self.bucket, key, content_type, rung).await;
            lost.set(lost.get() || created.as_ref().is_err_and(may_be_done));
            created
        };
        let created = self.ask(key, create).await;
        if lost.get() {
            self.tally.note(format!(
                "the store may keep an unfinished upload of {key}, because its answer to the \
                 first request was lost; a lifecycle rule for incomplete uploads removes it"
            ));
        }
        if let Ok(upload) = &created {
            self.tally.unfinished().began(&self.bucket, key, upload);
        }
        created
    }

    /// Ends a multipart upload; with `only_new`, an object that is there stays.
    ///
    /// # Errors
    /// As [`Desk::list`]; `Exists` for an object that stays.
    pub async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: &[PartDone],
        crc64nvme: Option<&str>,
        only_new: bool,
    ) -> Result<Completed> {
        let complete = async || {
            let crc = crc64nvme.map(str::to_owned);
            let parts = parts.to_vec();
            self.control.complete(&self.bucket, key, upload, parts, crc, only_new).await
        };
        let completed = self.ask(key, complete).await;
        let is_gone = completed.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        if completed.is_ok() || is_gone {
            self.tally.unfinished().ended(upload);
        }
        completed
    }

    /// Gives a multipart upload up; a cancelled job asks once. Nobody is kept
    /// waiting for it longer than [`Waits::abort`], or after a second cancellation.
    pub async fn abort(&self, key: &str, upload: &str) {
        let abort = async || self.control.abort(&self.bucket, key, upload).await;
        let longest = self.waits.abort;
        let answer = async {
            tokio::select! {
                answer = self.ask(key, abort) => answer,
                () = self.tally.abandoned() => Err(cancelled()),
            }
        };
        let why = match tokio::time::timeout(longest, answer).await {
            Ok(Ok(())) => return self.tally.unfinished().ended(upload),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the store did not answer within {longest:?}"),
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
    /// the next attempt; an answer about keys that nobody named is none.
    ///
    /// # Errors
    /// As [`Desk::list`], where no answer told of single keys.
    pub async fn delete_batch(&self, keys: Vec<String>) -> Result<Vec<Kept>> {
        let (left, kept) = (RefCell::new(keys), RefCell::new(Vec::new()));
        let told = Cell::new(false);
        let delete = async || {
            let named = left.borrow().clone();
            let refused = self.control.delete_batch(&self.bucket, &named).await?;
            // Never anything that was not asked for, whatever a store answers.
            if let Some(stray) = refused.iter().find(|kept| !named.contains(&kept.key)) {
                let sentence = format!("the store keeps {}, which nobody named", stray.key);
                return Err(Error::new(ErrorKind::Protocol, sentence).in_class(RetryClass::Retry));
            }
            told.set(true);
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
            Err(error) if told.get() => {
                let again = |key| Kept { key, error: error.copy() };
                kept.extend(left.into_inner().into_iter().map(again));
                Ok(kept)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the store takes batches of deletions, as far as is known.
    pub fn deletes_batches(&self) -> bool {
        self.control.deletes_batches()
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

/// A listing under way; one page of it is in memory at a time.
pub struct Pages<'a> {
    desk: &'a Desk,
    prefix: &'a str,
    delimiter: Option<&'a str>,
    course: Course,
    next: Next,
}

enum Next {
    First,
    After(String),
    Nothing,
}

impl Pages<'_> {
    /// The next page, `None` after the last one.
    ///
    /// # Errors
    /// As [`Desk::list`]; `Protocol` for a store that lists in circles.
    pub async fn page(&mut self) -> Result<Option<Page>> {
        let token = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::First => None,
            Next::After(token) => Some(token),
            Next::Nothing => return Ok(None),
        };
        let page = self.desk.list(self.prefix, self.delimiter, token).await?;
        let first = page.objects.first().map(|object| object.key.as_str());
        let first = first.or(page.prefixes.first().map(String::as_str));
        if !self.course.advances(first, page.next.as_deref()) {
            let sentence = format!(
                "the store lists {} in circles: it is no S3 store, or a proxy before it is broken",
                self.prefix
            );
            return Err(Error::new(ErrorKind::Protocol, sentence));
        }
        if let Some(next) = &page.next {
            self.next = Next::After(next.clone());
        }
        Ok(Some(page))
    }
}

/// Whether the store may have done what it was asked for, although its answer
/// says nothing of the kind.
pub fn may_be_done(error: &Error) -> bool {
    let lost = matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Protocol);
    lost && error.class() == RetryClass::Retry
}

/// The end of a job that somebody stopped.
pub fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the transfer was cancelled")
}
