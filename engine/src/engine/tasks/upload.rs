//! Files and folders below a prefix.

use std::cell::Cell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc::Receiver;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

use super::{Given, attend, blocking, panicked, settle, unless};
use crate::desk::Desk;
use crate::digest::Checked;
use crate::disk::fault;
use crate::engine::order::Orders;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::SharedPace;
use crate::job::{IfExists, UploadJob, UploadOrder};
use crate::path::{Filter, Source};
use crate::report::Action;
use crate::s3::fault::Subject;
use crate::upload;
use crate::upload::FileOrder;
use crate::upload::walk::Found;
use crate::uri::Uri;
use crate::worker::{Brief, Work};

/// Multipart uploads in progress per job; each may hold ten thousand entity
/// tags.
const MULTIPART_MAX: usize = 8;
/// Places that a file takes whose turn matters: of 256 orders at once, shards
/// may take any first, of 32 it makes little difference.
const ORDERED_PLACES: u32 = 8;
/// Files whose objects are asked for at once.
const ASKING_MAX: usize = 32;

/// Files and folders below a prefix.
pub(in crate::engine) async fn upload(
    job: UploadJob,
    given: Given<'_>,
    orders: &Rc<Orders>,
    cancel: &Notify,
) -> Result<()> {
    let uri = Uri::parse(&job.remote)?;
    let filter = Filter::new(&job.select)?;
    let sources = sources(&job)?;
    let folders = job.within.clone();
    let within = blocking(move || real_folders(&folders)).await?;
    let tally = orders.tally();
    let opened = given.open(job.access.as_ref(), &uri, &job.store, (tally, cancel)).await?;
    let (desk, contact) = opened;
    let uploader = Uploader {
        desk,
        prefix: uri.prefix(),
        brief: Arc::new(upload::Brief {
            contact,
            if_exists: job.if_exists,
            require_verified: job.require_verified,
            within,
            pace: job.limit_bytes_per_s.map(SharedPace::new).map(Arc::new),
            ledger: job.ledger.clone(),
        }),
        orders,
        if_exists: job.if_exists,
        dry_run: job.dry_run,
        places: match job.order {
            UploadOrder::AsFound => 1,
            UploadOrder::SmallestFirst => ORDERED_PLACES,
        },
        multipart: Arc::new(Semaphore::new(MULTIPART_MAX)),
    };
    let mut in_parts = JoinSet::new();
    let found = upload::plan::find(sources, filter, job.order, job.ledger);
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
    if_exists: IfExists,
    dry_run: bool,
    /// Places that a file in one request takes.
    places: u32,
    multipart: Arc<Semaphore>,
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

    async fn file(&self, file: FileOrder, in_parts: &mut JoinSet<()>) -> Result<()> {
        while in_parts.try_join_next().is_some() {}
        self.orders.tally().worth_it()?;
        if self.dry_run || self.if_exists != IfExists::Overwrite {
            return self.asked(file, in_parts).await;
        }
        if upload::plan::cut(file.stamp.bytes).parts() == 1 {
            let place = self.orders.wide_place(self.places).await?;
            let bytes = file.stamp.bytes;
            let brief = Brief::Upload(Arc::clone(&self.brief));
            return self.orders.send(brief, Work::File(file), bytes, place);
        }
        while in_parts.len() >= MULTIPART_MAX {
            in_parts.join_next().await;
        }
        let place = self.orders.place().await?;
        in_parts.spawn_local(self.sender().in_parts(file, place));
        Ok(())
    }

    /// Asks for the object first, beside the walk: bytes that the store would
    /// refuse are not sent.
    async fn asked(&self, file: FileOrder, asking: &mut JoinSet<()>) -> Result<()> {
        while asking.len() >= ASKING_MAX {
            asking.join_next().await;
        }
        let place = self.orders.place().await?;
        let sender = self.sender();
        let dry_run = self.dry_run;
        let multipart = Arc::clone(&self.multipart);
        asking.spawn_local(async move {
            let (name, bytes) = (file.name.clone(), file.stamp.bytes);
            let tally = Arc::clone(sender.orders.tally());
            match sender.stays(&file).await {
                Ok(true) if dry_run => tally.would(Action::Skip, &file.key, bytes),
                Ok(true) => tally.skipped(bytes),
                Ok(false) if dry_run => tally.would(Action::Upload, &file.key, bytes),
                Ok(false) if upload::plan::cut(bytes).parts() == 1 => {
                    let brief = Brief::Upload(Arc::clone(&sender.brief));
                    if let Err(error) = sender.orders.send(brief, Work::File(file), bytes, place) {
                        tally.failed(&name, &error);
                    }
                }
                Ok(false) => {
                    // Uploads whose turn it is may need a second place, so
                    // those that wait for theirs hold none.
                    drop(place);
                    let _turn = multipart.acquire().await;
                    match sender.orders.place().await {
                        Ok(place) => sender.in_parts(file, place).await,
                        Err(error) => tally.failed(&name, &error),
                    }
                }
                Err(error) => sender.desk.gave_up(&name, &error),
            }
        });
        Ok(())
    }

    fn sender(&self) -> Sender {
        Sender {
            desk: self.desk.clone(),
            brief: Arc::clone(&self.brief),
            orders: Rc::clone(self.orders),
            if_exists: self.if_exists,
        }
    }
}

/// What outlives the walk: the end of one file.
struct Sender {
    desk: Desk,
    brief: Arc<upload::Brief>,
    orders: Rc<Orders>,
    if_exists: IfExists,
}

impl Sender {
    /// Whether the object is there and stays.
    async fn stays(&self, file: &FileOrder) -> Result<bool> {
        if self.if_exists == IfExists::Overwrite || self.desk.head(&file.key).await?.is_none() {
            return Ok(false);
        }
        if self.if_exists == IfExists::Skip {
            return Ok(true);
        }
        let store = self.brief.contact.endpoint.store();
        let (bucket, key) = (&*file.bucket, &*file.key);
        Err(Subject { store, bucket, key, permission: "s3:PutObject" }.taken())
    }

    async fn in_parts(self, file: FileOrder, place: OwnedSemaphorePermit) {
        let (name, bytes) = (file.name.clone(), file.stamp.bytes);
        // Another place for an upload that begins anew, the first being spent.
        let place = Cell::new(Some(place));
        let order = async |work| {
            let place = match place.take() {
                Some(place) => place,
                None => self.orders.place().await?,
            };
            let brief = Brief::Upload(Arc::clone(&self.brief));
            self.orders.send(brief, Work::Parts(work), bytes, place)
        };
        let checks = &self.brief.contact.checks;
        let only_new = self.if_exists != IfExists::Overwrite;
        match upload::publish::in_parts(&self.desk, checks, &file, only_new, order).await {
            Ok(confirmed) => {
                let checked = Checked::confirmed(confirmed);
                match upload::arrived(checked, self.brief.require_verified) {
                    Ok(()) => self.orders.tally().done(bytes, checked.verdict()),
                    Err(error) => return self.orders.tally().failed(&name, &error),
                }
                file.tell(self.brief.ledger.as_deref());
            }
            // It came while the parts were sent.
            Err(error) if error.kind() == ErrorKind::Exists && self.if_exists == IfExists::Skip => {
                self.orders.tally().undone(bytes);
                self.orders.tally().skipped(bytes);
            }
            Err(error) => self.desk.gave_up(&name, &error),
        }
    }
}

/// Where folders really are.
fn real_folders(folders: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let real = |folder: &PathBuf| match std::fs::canonicalize(folder) {
        // Nothing lies in it; the rule stays.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(folder.clone()),
        found => found.map_err(|error| fault("find", &folder.display().to_string(), error)),
    };
    folders.iter().map(real).collect()
}
