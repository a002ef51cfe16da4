//! Deletions.

use std::io::Write;
use std::sync::mpsc::sync_channel;

use osmo_engine::job::StoreOptions;
use osmo_engine::uri::Uri;
use osmo_engine::{DeleteJob, Error, ErrorKind, Job};

use super::rehearsal::Rehearsal;
use super::transfer::{EVENTS_MAX, observer, watch};
use crate::flags::Delete;
use crate::show;

pub(super) fn run(flags: Delete) -> Result<(), Error> {
    let Delete { remote, select, dry_run, all, common } = flags;
    if !all && names_a_bucket_only(&remote)? {
        let sentence = format!(
            "{remote} names a whole bucket: to delete all of its content, write {remote}/ or \
             add --all"
        );
        return Err(Error::new(ErrorKind::Usage, sentence));
    }
    let engine = super::start(&common)?;
    let (tell, news) = sync_channel(EVENTS_MAX);
    let rehearsal = dry_run.then(|| Rehearsal::new(&common));
    let handle = engine.submit(Job::Delete(DeleteJob {
        remote,
        select: select.into(),
        dry_run,
        store: StoreOptions { request_payer: common.request_payer, ..StoreOptions::default() },
        access: None,
        observer: Some(observer(tell.clone(), rehearsal)),
    }));
    let report = watch(handle, tell, &news, &common)?;
    let text = if common.json {
        serde_json::to_string(&report).ok()
    } else if common.quiet {
        None
    } else if dry_run {
        Some(show::rehearsal("deleted", &report))
    } else {
        Some(show::deleted(&report))
    };
    if let Some(text) = text {
        writeln!(std::io::stdout(), "{text}").map_err(|error| {
            Error::new(ErrorKind::Local, "cannot print the report").because(error)
        })?;
    }
    report.outcome().map(|_| ())
}

/// Whether nothing follows the bucket's name, not even a slash.
fn names_a_bucket_only(remote: &str) -> Result<bool, Error> {
    Ok(Uri::parse(remote)?.prefix().is_empty() && !remote.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_meant_only_with_its_slash() {
        for remote in ["s3://b", "gs://b", "tos://host/b", "swift://host/ns/b"] {
            assert!(names_a_bucket_only(remote).is_ok_and(|only| only), "{remote}");
            let below = [format!("{remote}/"), format!("{remote}/p"), format!("{remote}/p/")];
            for remote in below {
                assert!(names_a_bucket_only(&remote).is_ok_and(|only| !only), "{remote}");
            }
        }
    }
}
