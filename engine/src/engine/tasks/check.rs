//! Whether a store may be used, found out without leaving anything visible.
//!
//! | purpose | what is tried |
//! |---|---|
//! | none | the bucket answers (HEAD), or lists a page below the prefix |
//! | read | a page is listed, and its first object asked for |
//! | write | a multipart upload is begun below the prefix and given up |
//! | delete | as none: nothing short of removing an object proves more, and in a versioned bucket even that of a missing one leaves a mark |

use std::sync::Arc;

use tokio::sync::Notify;

use super::{Given, unless};
use crate::clock::Chance;
use crate::desk::Desk;
use crate::error::{ErrorKind, Result};
use crate::job::{CheckJob, Purpose};
use crate::path;
use crate::s3::Rung;
use crate::tally::Tally;
use crate::uri::Uri;

/// Tries what the job's purpose needs.
pub(in crate::engine) async fn check(
    job: &CheckJob,
    given: Given<'_>,
    tally: &Arc<Tally>,
    cancel: &Notify,
) -> Result<()> {
    let uri = Uri::parse(&job.remote)?;
    let (desk, _) = given.open(job.access.as_ref(), &uri, &job.store, (tally, cancel)).await?;
    unless(cancel, tally, attempt(&desk, uri.prefix(), job.purpose)).await?;
    tally.plan_ended();
    Ok(())
}

async fn attempt(desk: &Desk, prefix: &str, purpose: Option<Purpose>) -> Result<()> {
    match purpose {
        None | Some(Purpose::Delete) => reach(desk, prefix).await,
        Some(Purpose::Read) => read(desk, prefix).await,
        Some(Purpose::Write) => write(desk, prefix).await,
    }
}

/// A policy may allow a prefix only, and no word on the bucket itself.
async fn reach(desk: &Desk, prefix: &str) -> Result<()> {
    match desk.reach().await {
        Err(error) if error.kind() == ErrorKind::Denied => {
            desk.list(&path::listing_prefix(prefix), None, None).await.map(|_| ())
        }
        ended => ended,
    }
}

async fn read(desk: &Desk, prefix: &str) -> Result<()> {
    if let Ok(Some(_)) = desk.at(prefix).await {
        return Ok(());
    }
    let page = desk.list(&path::listing_prefix(prefix), None, None).await?;
    match page.objects.first() {
        Some(first) => desk.head(&first.key).await.map(|_| ()),
        None => Ok(()),
    }
}

async fn write(desk: &Desk, prefix: &str) -> Result<()> {
    let mark = Chance::from_clock().next_bits();
    let key = format!("{}.osmo-check-{mark:016x}", path::listing_prefix(prefix));
    let upload = desk.create(&key, "application/octet-stream", Rung::None).await?;
    desk.abort(&key, &upload).await;
    Ok(())
}
