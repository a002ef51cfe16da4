//! Files → orders: what is found, and whether it goes up in parts.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::Result;
use crate::job::{Ledger, UploadOrder};
use crate::part::Cut;
use crate::path::{Filter, Source, remote};
use crate::upload::walk::{Found, walk};
use crate::upload::{FileOrder, PART_BYTES, PARTS_MAX, pick};

/// Files that the walker may be ahead.
const AHEAD_MAX: usize = 256;

/// The parts of a file.
pub fn cut(bytes: u64) -> Cut {
    Cut::new(bytes, PART_BYTES, PARTS_MAX)
}

/// What the walker finds below `sources` and `ledger` wants, in a bounded queue
/// and in `order`, and the walker, whose end says whether that was all; it
/// stops when nobody listens any more.
pub fn find(
    sources: Vec<Source>,
    filter: Filter,
    order: UploadOrder,
    ledger: Option<Arc<dyn Ledger>>,
) -> (mpsc::Receiver<Result<Found>>, JoinHandle<()>) {
    let (sender, found) = mpsc::channel(AHEAD_MAX);
    let walker = tokio::task::spawn_blocking(move || {
        let mut tell = |found| sender.blocking_send(Ok(found)).is_ok();
        let search = Search { sources: &sources, filter: &filter, ledger: ledger.as_deref() };
        let ended = match order {
            UploadOrder::AsFound => search.each(&mut tell),
            UploadOrder::SmallestFirst => pick::smallest_first(&search, &mut tell),
        };
        if let Err(error) = ended {
            let _ = sender.blocking_send(Err(error));
        }
    });
    (found, walker)
}

/// What an upload is about, to be walked as often as it takes.
pub(super) struct Search<'a> {
    pub(super) sources: &'a [Source],
    pub(super) filter: &'a Filter,
    pub(super) ledger: Option<&'a dyn Ledger>,
}

impl Search<'_> {
    /// Hands everything that is wanted to `found`.
    pub(super) fn each(&self, found: &mut dyn FnMut(Found) -> bool) -> Result<()> {
        for source in self.sources {
            walk(source, self.filter, &mut |file| !self.wants(&file) || found(file))?;
        }
        Ok(())
    }

    fn wants(&self, found: &Found) -> bool {
        match (found, self.ledger) {
            (Found::File { path, stamp, .. }, Some(ledger)) => ledger.wants(&stamp.at(path)),
            _ => true,
        }
    }
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
