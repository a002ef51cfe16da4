//! Objects out of a store, page by page.
//!
//! Batches are removed while the listing goes on. A continuation token stands
//! for a key and not for a count, so what is gone moves nothing that is yet to
//! be listed. In memory are at most [`BATCHES_MAX`] batches and one page.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{Given, unless};
use crate::desk::Desk;
use crate::error::{Error, ErrorKind, Result};
use crate::job::DeleteJob;
use crate::path::{self, Filter};
use crate::report::Action;
use crate::s3::ObjectInfo;
use crate::tally::Tally;
use crate::uri::Uri;

/// Batches of a page's keys under way.
const BATCHES_MAX: usize = 4;

/// Removes what lies at or below a prefix.
pub(in crate::engine) async fn delete(
    job: &DeleteJob,
    given: Given<'_>,
    tally: &Arc<Tally>,
    cancel: &Notify,
) -> Result<()> {
    let uri = Uri::parse(&job.remote)?;
    let filter = Filter::new(&job.select)?;
    let (desk, _) = given.open(job.access.as_ref(), &uri, &job.store, (tally, cancel)).await?;
    let batches = Rc::new(Cell::new(desk.deletes_batches()));
    let remover = Remover { desk, dry_run: job.dry_run, batches };
    let removed = unless(cancel, tally, remover.run(uri.prefix(), &filter, &job.remote)).await;
    tally.plan_ended();
    removed
}

/// One object on its way out.
struct Doomed {
    key: String,
    bytes: u64,
}

#[derive(Clone)]
struct Remover {
    desk: Desk,
    dry_run: bool,
    /// Cleared when the store turns out to take no batches.
    batches: Rc<Cell<bool>>,
}

impl Remover {
    async fn run(&self, prefix: &str, filter: &Filter, remote: &str) -> Result<()> {
        if let Some(info) = self.desk.at(prefix).await? {
            return self.page(vec![self.plan(info)]).await;
        }
        let below = path::listing_prefix(prefix);
        // Dropped with the job when it is cancelled; what was sent is sent.
        let mut under_way = JoinSet::new();
        let mut keys = 0_u64;
        let mut pages = self.desk.pages(&below, None);
        while let Some(page) = pages.page().await? {
            keys += page.objects.len() as u64;
            let doomed = self.doomed(page.objects, &below, filter)?;
            while under_way.len() >= BATCHES_MAX {
                ended(under_way.join_next().await)?;
            }
            let remover = self.clone();
            under_way.spawn_local(async move { remover.page(doomed).await });
        }
        while let Some(batch) = under_way.join_next().await {
            ended(Some(batch))?;
        }
        if keys == 0 {
            self.desk.tally().note(format!("there is no object at {remote} and none below it"));
        }
        Ok(())
    }

    fn plan(&self, info: ObjectInfo) -> Doomed {
        self.desk.tally().plan(info.bytes);
        Doomed { key: info.key, bytes: info.bytes }
    }

    fn doomed(&self, page: Vec<ObjectInfo>, below: &str, filter: &Filter) -> Result<Vec<Doomed>> {
        let mut doomed = Vec::with_capacity(page.len());
        for info in page {
            // Never anything that was not asked for, whatever a store lists.
            let Some(relative) = info.key.strip_prefix(below) else {
                let sentence = format!("the store lists {}, which is not below {below}", info.key);
                return Err(Error::new(ErrorKind::Protocol, sentence));
            };
            if filter.keeps(relative)? {
                doomed.push(self.plan(info));
            }
        }
        Ok(doomed)
    }

    async fn page(&self, doomed: Vec<Doomed>) -> Result<()> {
        if self.dry_run {
            for Doomed { key, bytes } in &doomed {
                self.desk.tally().would(Action::Delete, key, *bytes);
            }
            return Ok(());
        }
        let (batch, single): (Vec<_>, Vec<_>) =
            doomed.into_iter().partition(|doomed| self.batches.get() && is_text(&doomed.key));
        if !batch.is_empty() {
            self.batch(batch).await?;
        }
        self.each(&single).await
    }

    async fn batch(&self, doomed: Vec<Doomed>) -> Result<()> {
        let keys = doomed.iter().map(|doomed| doomed.key.clone()).collect();
        let kept = match self.desk.delete_batch(keys).await {
            Ok(kept) => kept,
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Protocol) => {
                if self.batches.replace(false) {
                    let note = "the store takes no batches; objects are removed one by one";
                    self.desk.tally().note(note);
                }
                return self.each(&doomed).await;
            }
            // Of the store as a whole, and the rest would only meet it again.
            Err(error) => return Err(error),
        };
        for Doomed { key, bytes } in doomed {
            match kept.iter().find(|kept| kept.key == key) {
                Some(kept) => self.desk.tally().failed(&key, &kept.error),
                None => self.desk.tally().deleted(bytes),
            }
        }
        Ok(())
    }

    async fn each(&self, doomed: &[Doomed]) -> Result<()> {
        for Doomed { key, bytes } in doomed {
            self.desk.tally().worth_it()?;
            match self.desk.delete(key).await {
                Ok(()) => self.desk.tally().deleted(*bytes),
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(error) => self.desk.gave_up(key, &error),
            }
        }
        Ok(())
    }
}

/// Whether XML 1.0 carries the key unchanged.
fn is_text(key: &str) -> bool {
    !key.chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'))
}

fn ended(batch: Option<std::result::Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    batch.map_or(Ok(()), |ended| ended.unwrap_or_else(|error| Err(super::panicked(error))))
}
