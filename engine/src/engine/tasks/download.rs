//! Objects into a folder.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{Given, blocking, commits, settle, unless};
use crate::clock::Chance;
use crate::desk::Desk;
use crate::disk::PartialFolder;
use crate::disk::journal::{Journal, Name, name_of};
use crate::download;
use crate::engine::order::Orders;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::SharedPace;
use crate::job::{DownloadJob, IfExists, Journaling};
use crate::object::Object;
use crate::path::Filter;
use crate::report::Action;
use crate::tally::Tally;
use crate::uri::Uri;
use crate::worker::{Brief, Work};

/// Objects into a folder.
pub(in crate::engine) async fn download(
    job: DownloadJob,
    given: Given<'_>,
    orders: &Rc<Orders>,
    cancel: &Notify,
) -> Result<()> {
    let uri = Uri::parse(&job.remote)?;
    let filter = Filter::new(&job.select)?;
    let tally = orders.tally();
    if job.dry_run {
        return rehearse(job, &uri, &filter, given, tally, cancel).await;
    }
    let local = job.local.clone();
    let folder = blocking(move || PartialFolder::open(&local, &mut Chance::from_clock())).await?;
    let opened = given.open(job.access.as_ref(), &uri, &job.store, (tally, cancel)).await?;
    let (desk, contact) = opened;
    let name = name_of(&[contact.endpoint.url().as_bytes(), job.remote.as_bytes()]);
    let (folder, journal) = recorded(folder, name, job.journal, tally).await?;
    let brief = Arc::new(download::Brief {
        contact,
        folder,
        journal,
        resume: job.resume,
        if_exists: job.if_exists,
        on_change: job.on_change,
        require_verified: job.require_verified,
        pace: job.limit_bytes_per_s.map(SharedPace::new).map(Arc::new),
    });
    let over = Notify::new();
    let moved = async {
        let mut asking = JoinSet::new();
        let remote = (job.remote.as_str(), uri.prefix());
        let plan = plan_downloads(&desk, remote, &filter, (&brief, orders), &mut asking);
        let planned = unless(cancel, tally, plan).await;
        // A question that was dropped half-way is gone only now; it held the
        // partial folder, and might have sent an order.
        asking.shutdown().await;
        tally.plan_ended();
        settle(orders, cancel).await;
        over.notify_one();
        planned
    };
    let (planned, committed) = tokio::join!(moved, commits::until(&over, &brief, tally));
    commits::end(brief, tally, planned.and(committed)).await
}

/// The job's journal, if it has one; without, the job goes on and says so.
async fn recorded(
    folder: PartialFolder,
    name: Name,
    journaling: Journaling,
    tally: &Tally,
) -> Result<(PartialFolder, Option<Arc<Journal>>)> {
    if journaling == Journaling::Without {
        return Ok((folder, None));
    }
    let (folder, opened) = blocking(move || {
        let opened = folder.journal(&name);
        Ok((folder, opened))
    })
    .await?;
    match opened {
        Ok(Some(journal)) => return Ok((folder, Some(Arc::new(journal)))),
        Ok(None) => tally.note(
            "the same download is under way in another process; this one records no progress",
        ),
        Err(error) => tally.note(format!("{error}; progress is not recorded")),
    }
    Ok((folder, None))
}

async fn plan_downloads(
    desk: &Desk,
    (remote, prefix): (&str, &str),
    filter: &Filter,
    (brief, orders): (&Arc<download::Brief>, &Rc<Orders>),
    asking: &mut JoinSet<()>,
) -> Result<()> {
    let order = async |object: Object| {
        while asking.try_join_next().is_some() {}
        let place = orders.place().await?;
        orders.tally().worth_it()?;
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
        let on_change = brief.on_change;
        let brief = Brief::Download(Arc::clone(brief));
        asking.spawn_local(async move {
            let key = Arc::clone(&object.key);
            let sent = match download::plan::complete(&desk, object, on_change).await {
                Ok(object) => {
                    let bytes = object.bytes;
                    orders.send(brief, Work::Object(object), bytes, place)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                desk.gave_up(&key, &error);
            }
        });
        Ok(())
    };
    let planned = download::plan::plan(desk, remote, prefix, filter, order).await;
    while asking.join_next().await.is_some() {}
    planned
}

/// Plans as a download does, looks at the destination, and touches nothing.
async fn rehearse(
    job: DownloadJob,
    uri: &Uri,
    filter: &Filter,
    given: Given<'_>,
    tally: &Arc<Tally>,
    cancel: &Notify,
) -> Result<()> {
    let dest = job.local.clone();
    blocking(move || is_folder(&dest)).await?;
    let (desk, _) = given.open(job.access.as_ref(), uri, &job.store, (tally, cancel)).await?;
    if job.resume {
        tally.note("--resume compares contents only when it runs; equal files are listed too");
    }
    let would = async |object: Object| {
        let path = job.local.join(&*object.path);
        let there = job.if_exists != IfExists::Overwrite && path.symlink_metadata().is_ok();
        let stays = there.then(|| download::publish::stays(job.if_exists, &object.path));
        match stays.transpose() {
            Err(error) => tally.failed(&object.key, &error),
            Ok(Some(_)) => tally.would(Action::Skip, &object.key, object.bytes),
            Ok(None) => tally.would(Action::Download, &object.key, object.bytes),
        }
        Ok(())
    };
    let plan = download::plan::plan(&desk, &job.remote, uri.prefix(), filter, would);
    unless(cancel, tally, plan).await?;
    tally.plan_ended();
    Ok(())
}

fn is_folder(dest: &Path) -> Result<()> {
    let shown = dest.display();
    match std::fs::metadata(dest) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Error::new(
            ErrorKind::Local,
            format!("the destination {shown} is not a folder; name an existing folder"),
        )),
        Err(error) => Err(Error::new(
            ErrorKind::NotFound,
            format!("cannot look at the destination {shown}; create the folder first"),
        )
        .because(error)),
    }
}
