//! What a download makes durable, and when.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::blocking;
use crate::disk::commit;
use crate::download::Brief;
use crate::error::Result;
use crate::tally::Tally;

/// Between two commits. A power loss costs a look at what came since the last
/// one; each makes the file system write everything it has.
const COMMIT_EVERY: Duration = Duration::from_secs(5);

/// Commits what was recorded every now and then, until the job is `over`.
///
/// # Errors
/// The disk lost what was written.
pub(super) async fn until(over: &Notify, brief: &Arc<Brief>, tally: &Tally) -> Result<()> {
    loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep(COMMIT_EVERY) => {}
            () = over.notified() => return Ok(()),
        }
        if !brief.journal.as_ref().is_some_and(|journal| journal.is_fresh()) {
            continue;
        }
        let brief = Arc::clone(brief);
        let mut commit = std::pin::pin!(blocking(move || whole(&brief)));
        tokio::select! {
            biased;
            ended = &mut commit => ended?,
            () = over.notified() => {
                // Who stops a job does not wait for the disk.
                return if tally.cancelled() { Ok(()) } else { commit.await };
            }
        }
    }
}

/// The end of the job: what is there is durable, and the journal has done its
/// work or waits for the next run.
///
/// # Errors
/// `ended`'s, or the disk lost what was written.
pub(super) async fn end(brief: Arc<Brief>, tally: &Tally, ended: Result<()>) -> Result<()> {
    let progress = tally.progress();
    let committed = match &ended {
        Ok(()) if progress.files_done > 0 => {
            let brief = Arc::clone(&brief);
            blocking(move || whole(&brief)).await
        }
        _ => Ok(()),
    };
    let ended = ended.and(committed);
    if let Some(journal) = &brief.journal {
        if let Some(error) = journal.broken() {
            tally.note(format!("{error}; progress was not recorded from there on"));
        }
        match ended.is_ok() && progress.files_done == progress.files_total {
            true => journal.remove(),
            false => journal.leave(),
        }
    }
    ended
}

fn whole(brief: &Brief) -> Result<()> {
    let sync = || commit(brief.folder.dest(), brief.folder.dest_path());
    match &brief.journal {
        Some(journal) => journal.commit(sync),
        None => sync(),
    }
}
