//! Files → orders: what is found, and whether it goes up in parts.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::Result;
use crate::part::Cut;
use crate::path::{Filter, Source, remote};
use crate::upload::walk::{Found, walk};
use crate::upload::{FileOrder, PART_BYTES, PARTS_MAX};

/// Files that the walker may be ahead.
const AHEAD_MAX: usize = 256;

/// The parts of a file.
pub fn cut(bytes: u64) -> Cut {
    Cut::new(bytes, PART_BYTES, PARTS_MAX)
}

/// What the walker finds below `sources`, in a bounded queue, and the walker,
/// whose end says whether that was all; it stops when nobody listens any more.
pub fn find(
    sources: Vec<Source>,
    filter: Filter,
) -> (mpsc::Receiver<Result<Found>>, JoinHandle<()>) {
    let (sender, found) = mpsc::channel(AHEAD_MAX);
    let walker = tokio::task::spawn_blocking(move || {
        for source in &sources {
            let mut tell = |found| sender.blocking_send(Ok(found)).is_ok();
            if let Err(error) = walk(source, &filter, &mut tell) {
                let _ = sender.blocking_send(Err(error));
                return;
            }
        }
    });
    (found, walker)
}

/// The order for a file that was found.
pub fn order(
    bucket: &Arc<str>,
    prefix: &str,
    path: std::path::PathBuf,
    below: &str,
    stamp: crate::upload::walk::Stamp,
) -> FileOrder {
    FileOrder {
        bucket: Arc::clone(bucket),
        key: remote(prefix, below).into(),
        name: path.display().to_string(),
        path,
        stamp,
    }
}
