//! The kinds of job, on the control thread: open the store, plan, send orders,
//! wait for their end.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinError, JoinHandle, JoinSet};

use crate::clock::Chance;
use crate::config::Access;
use crate::desk::{Desk, cancelled};
use crate::disk::{PartialFolder, commit};
use crate::engine::order::Orders;
use crate::error::{Error, ErrorKind, Result};
use crate::job::{CheckJob, DeleteJob, DownloadJob, ListJob, ListedObject, UploadJob};
use crate::object::Object;
use crate::path::{self, Filter, Source};
use crate::s3::{self, ObjectInfo};
use crate::tally::Tally;
use crate::upload::walk::Found;
use crate::uri::Uri;
use crate::waits::{Patience, Waits};
use crate::worker::{Brief, Work};
use crate::{download, upload};

/// Multipart uploads in progress per job; each may hold ten thousand entity
/// tags.
const MULTIPART_MAX: usize = 8;

/// What the engine was started with.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) access: &'a Access,
    pub(super) waits: &'a Waits,
}

impl Given<'_> {
    fn patience(&self) -> &Patience {
        &self.waits.patience
    }
}

/// `work`, unless the job is cancelled first.
async fn unless<T>(
    cancel: &Notify,
    tally: &Tally,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    if tally.cancelled() {
        return Err(cancelled());
    }
    tokio::select! {
        biased;
        () = cancel.notified() => Err(cancelled()),
        ended = work => ended,
    }
}

/// Waits for the orders that are under way, or stops them. No order may be
/// sent after it: a shard would remember the job for ever.
async fn settle(orders: &Orders, cancel: &Notify) {
    attend(orders, cancel, orders.retire()).await;
}

/// `work`, which ends by itself once the shards have stopped; a cancellation
/// makes them.
async fn attend(orders: &Orders, cancel: &Notify, work: impl Future<Output = ()>) {
    let mut work = std::pin::pin!(work);
    if orders.tally().cancelled() {
        orders.stop();
    }
    loop {
        tokio::select! {
            () = &mut work => return,
            () = cancel.notified() => orders.stop(),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| Err(panicked(error)))
}

fn panicked(error: JoinError) -> Error {
    Error::new(ErrorKind::Internal, "a blocking step panicked").because(error)
}

/// Objects into a folder.
pub(super) async fn download(
    job: DownloadJob,
    given: Given<'_>,
    orders: &Rc<Orders>,
    cancel: &Notify,
) -> Result<()> {
    let uri = Uri::parse(&job.remote)?;
    let filter = Filter::new(job.select.regex.as_deref())?;
    let tally = orders.tally();
    let local = job.local.clone();
    let folder = blocking(move || PartialFolder::open(&local, &mut Chance::from_clock())).await?;
    let access = job.access.as_ref().unwrap_or(given.access);
    let opened =
        unless(cancel, tally, s3::open(access, &uri, &job.store, given.patience())).await?;
    let desk = Desk::new(opened.control, uri.bucket().into(), Arc::clone(tally), given.waits);
    let brief = Arc::new(download::Brief { contact: opened.contact, folder, resume: job.resume });
    let plan = plan_downloads(&desk, (&job.remote, uri.prefix()), &filter, &brief, orders);
    let planned = unless(cancel, tally, plan).await;
    tally.plan_ended();
    settle(orders, cancel).await;
    planned?;
    if tally.progress().files_done > 0 {
        blocking(move || commit(brief.folder.dest(), brief.folder.dest_path())).await?;
    }
    Ok(())
}

async fn plan_downloads(
    desk: &Desk,
    (remote, prefix): (&str, &str),
    filter: &Filter,
    brief: &Arc<download::Brief>,
    orders: &Rc<Orders>,
) -> Result<()> {
    let mut asking = JoinSet::new();
    let order = async |object: Object| {
        while asking.try_join_next().is_some() {}
        let place = orders.place().await?;
        if download::plan::cut(object.bytes).parts() == 1 {
            let bytes = object.bytes;
            return orders.send(
                Brief::Download(Arc::clone(brief)),
                Work::Object(object),
                bytes,
                place,
            );
        }
        // Its checksums are asked for beside the listing, not within it.
        let (desk, orders) = (desk.clone(), Rc::clone(orders));
        let brief = Brief::Download(Arc::clone(brief));
        asking.spawn_local(async move {
            let key = Arc::clone(&object.key);
            let sent = match download::plan::complete(&desk, object).await {
                Ok(object) => {
                    let bytes = object.bytes;
                    orders.send(brief, Work::Object(object), bytes, place)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                orders.tally().failed(&key, &error);
            }
        });
        Ok(())
    };
    let planned = download::plan::plan(desk, remote, prefix, filter, order).await;
    while asking.join_next().await.is_some() {}
    planned
}

/// Files and folders below a prefix.
pub(super) async fn upload(
    job: UploadJob,
    given: Given<'_>,
    orders: &Rc<Orders>,
    cancel: &Notify,
) -> Result<()> {
    let uri = Uri::parse(&job.remote)?;
    let filter = Filter::new(job.select.regex.as_deref())?;
    let sources = sources(&job)?;
    let tally = orders.tally();
    let access = job.access.as_ref().unwrap_or(given.access);
    let opened =
        unless(cancel, tally, s3::open(access, &uri, &job.store, given.patience())).await?;
    let uploader = Uploader {
        desk: Desk::new(opened.control, uri.bucket().into(), Arc::clone(tally), given.waits),
        prefix: uri.prefix(),
        brief: Arc::new(upload::Brief { contact: opened.contact }),
        orders,
    };
    let mut in_parts = JoinSet::new();
    let found = upload::plan::find(sources, filter);
    let planned = unless(cancel, tally, uploader.plan(found, &mut in_parts)).await;
    tally.plan_ended();
    // Multipart uploads end by themselves once the shards have stopped, and
    // abort what they began; they are never dropped half-way. They still send
    // orders, so the shards forget the job only after the last of them.
    attend(orders, cancel, async { while in_parts.join_next().await.is_some() {} }).await;
    settle(orders, cancel).await;
    planned
}

fn sources(job: &UploadJob) -> Result<Vec<Source>> {
    job.local
        .iter()
        .map(|path| match path.to_str() {
            Some(text) => Ok(Source::parse(text)),
            None => Err(Error::new(
                ErrorKind::Usage,
                format!("the path {} is not UTF-8, as keys must be", path.display()),
            )),
        })
        .collect()
}

struct Uploader<'a> {
    desk: Desk,
    prefix: &'a str,
    brief: Arc<upload::Brief>,
    orders: &'a Rc<Orders>,
}

impl Uploader<'_> {
    async fn plan(
        &self,
        (mut found, walker): (Receiver<Result<Found>>, JoinHandle<()>),
        in_parts: &mut JoinSet<()>,
    ) -> Result<()> {
        let tally = self.orders.tally();
        while let Some(found) = found.recv().await {
            match found? {
                Found::Failed { path, error } => {
                    tally.plan(0);
                    tally.failed(&path.display().to_string(), &error);
                }
                Found::File { path, below, stamp } => {
                    tally.plan(stamp.bytes);
                    let bucket = self.desk.bucket();
                    let file = upload::plan::order(bucket, self.prefix, path, &below, stamp);
                    self.file(file, in_parts).await?;
                }
            }
        }
        walker.await.map_err(panicked)
    }

    async fn file(&self, file: upload::FileOrder, in_parts: &mut JoinSet<()>) -> Result<()> {
        let bytes = file.stamp.bytes;
        let brief = Arc::clone(&self.brief);
        if upload::plan::cut(bytes).parts() == 1 {
            let place = self.orders.place().await?;
            return self.orders.send(Brief::Upload(brief), Work::File(file), bytes, place);
        }
        while in_parts.len() >= MULTIPART_MAX {
            in_parts.join_next().await;
        }
        let place = self.orders.place().await?;
        let (desk, orders) = (self.desk.clone(), Rc::clone(self.orders));
        in_parts.spawn_local(async move {
            let name = file.name.clone();
            let place = Cell::new(Some(place));
            let order = async |work| {
                let place = match place.take() {
                    Some(place) => place,
                    None => orders.place().await?,
                };
                orders.send(Brief::Upload(Arc::clone(&brief)), Work::Parts(work), bytes, place)
            };
            let tally = orders.tally();
            match upload::publish::in_parts(&desk, &brief.contact.checks, &file, order).await {
                Ok(verified) => tally.done(bytes, verified),
                Err(error) => desk.gave_up(&name, &error),
            }
        });
        Ok(())
    }
}

/// Objects out of a store.
pub(super) async fn delete(job: &DeleteJob) -> Result<()> {
    Err(Error::new(ErrorKind::Unsupported, format!("cannot delete {} yet", job.remote)))
}

/// Whether a store may be used.
pub(super) async fn check(job: &CheckJob) -> Result<()> {
    Err(Error::new(ErrorKind::Unsupported, format!("cannot check {} yet", job.remote)))
}

/// Names below a prefix.
pub(super) async fn list(
    job: &ListJob,
    given: Given<'_>,
    tally: &Arc<Tally>,
    cancel: &Notify,
) -> Result<()> {
    let uri = Uri::parse(&job.remote)?;
    let filter = Filter::new(job.select.regex.as_deref())?;
    let access = job.access.as_ref().unwrap_or(given.access);
    let opened =
        unless(cancel, tally, s3::open(access, &uri, &job.store, given.patience())).await?;
    let desk = Desk::new(opened.control, uri.bucket().into(), Arc::clone(tally), given.waits);
    unless(cancel, tally, names(&desk, uri.prefix(), &filter, job)).await?;
    tally.plan_ended();
    Ok(())
}

async fn names(desk: &Desk, prefix: &str, filter: &Filter, job: &ListJob) -> Result<()> {
    if !prefix.is_empty()
        && !path::is_folder_marker(prefix)
        && let Some(info) = desk.head(prefix).await?
    {
        (job.each)(listed(info));
        return Ok(());
    }
    let below = path::listing_prefix(prefix);
    let delimiter = (!job.recursive).then_some("/");
    let mut pages = desk.pages(&below, delimiter);
    while let Some(page) = pages.page().await? {
        let folders = page.prefixes.into_iter().map(|key| ObjectInfo {
            key,
            bytes: 0,
            etag: None,
            modified_s: None,
            checksums: Vec::new(),
        });
        let mut entries: Vec<ObjectInfo> = page.objects.into_iter().chain(folders).collect();
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        for info in entries {
            let keeps = match path::relative(&info.key, &below) {
                Some(relative) => filter.keeps(relative)?,
                None => false,
            };
            if keeps {
                (job.each)(listed(info));
            }
        }
    }
    Ok(())
}

fn listed(info: ObjectInfo) -> ListedObject {
    let ObjectInfo { key, bytes, etag, modified_s, .. } = info;
    ListedObject { key, bytes, etag, modified_s }
}
