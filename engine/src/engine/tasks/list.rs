//! Names below a prefix, handed on page by page.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{Given, unless};
use crate::desk::Desk;
use crate::error::Result;
use crate::job::{ListJob, ListedObject};
use crate::path::{self, Filter};
use crate::s3::ObjectInfo;
use crate::tally::Tally;
use crate::uri::Uri;

/// Names below a prefix.
pub(in crate::engine) async fn list(
    job: &ListJob,
    given: Given<'_>,
    tally: &Arc<Tally>,
    cancel: &Notify,
) -> Result<()> {
    let uri = Uri::parse(&job.remote)?;
    let filter = Filter::new(&job.select)?;
    let (desk, _) = given.open(job.access.as_ref(), &uri, &job.store, (tally, cancel)).await?;
    unless(cancel, tally, names(&desk, uri.prefix(), &filter, job)).await?;
    tally.plan_ended();
    Ok(())
}

async fn names(desk: &Desk, prefix: &str, filter: &Filter, job: &ListJob) -> Result<()> {
    if let Some(info) = desk.at(prefix).await? {
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
            encrypted: false,
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
