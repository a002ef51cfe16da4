//! Which files are in the store, in which state: so that nothing goes up twice,
//! neither after an early upload nor after a restart of the sidecar.
//!
//! A file is known by a hash of its URL and path, its state by a hash of size,
//! times and inode; both must agree. The journal on disk is 16 bytes a file,
//! appended; a torn last record is dropped. Where the table is full, or the
//! disk, a file is not booked and goes up again: slower, never wrong.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use osmo_engine::{Ledger, LocalFile};

/// Files that are booked: 8 MiB of memory, 4 MiB of disk.
pub(crate) const FILES_MAX: usize = 262_144;
const RECORD_BYTES: usize = 16;

/// Every file that was sent.
#[derive(Default)]
pub(crate) struct Sent(Mutex<Book>);

#[derive(Default)]
struct Book {
    states: HashMap<u64, u64>,
    journal: Option<File>,
}

impl Sent {
    /// Continues the journal at `path`, or begins it anew.
    ///
    /// # Errors
    /// The file's.
    pub(crate) fn open(path: &Path, anew: bool) -> std::io::Result<Self> {
        let mut options = OpenOptions::new();
        let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        options.read(true).append(true).create(true).mode(0o600).custom_flags(flags);
        let mut file = options.open(path)?;
        if anew {
            file.set_len(0)?;
        }
        let mut bytes = Vec::new();
        let limit = (FILES_MAX * RECORD_BYTES) as u64;
        (&mut file).take(limit).read_to_end(&mut bytes)?;
        let whole = bytes.len() / RECORD_BYTES * RECORD_BYTES;
        file.set_len(whole as u64)?;
        let states = bytes.chunks_exact(RECORD_BYTES).filter_map(record).collect();
        Ok(Self(Mutex::new(Book { states, journal: Some(file) })))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store has `file` at `url` as it is now.
    pub(crate) fn has(&self, url: &str, file: &LocalFile<'_>) -> bool {
        self.book().states.get(&name(url, file.path)) == Some(&state(file))
    }

    fn add(&self, url: &str, file: &LocalFile<'_>) {
        let (name, state) = (name(url, file.path), state(file));
        let mut book = self.book();
        if book.states.len() >= FILES_MAX && !book.states.contains_key(&name) {
            return;
        }
        book.states.insert(name, state);
        let mut bytes = name.to_le_bytes().to_vec();
        bytes.extend(state.to_le_bytes());
        if let Some(journal) = &mut book.journal
            && journal.write_all(&bytes).is_err()
        {
            // A half record would shift those behind it.
            book.journal = None;
        }
    }

    /// The ledger of an upload to `url` of all that is not there.
    pub(crate) fn sweep(self: &Arc<Self>, url: &str) -> Arc<dyn Ledger> {
        Arc::new(Sweep { sent: Arc::clone(self), url: url.to_owned(), only: None })
    }

    /// The same of files that `only` names, in the state that it knows.
    pub(crate) fn early(self: &Arc<Self>, url: &str, only: Arc<States>) -> Arc<dyn Ledger> {
        Arc::new(Sweep { sent: Arc::clone(self), url: url.to_owned(), only: Some(only) })
    }
}

/// Files and their states, bounded.
#[derive(Debug, Default)]
pub(crate) struct States(HashMap<u64, u64>);

impl States {
    pub(crate) fn note(&mut self, file: &LocalFile<'_>) {
        if self.0.len() < FILES_MAX {
            self.0.insert(name("", file.path), state(file));
        }
    }

    /// Whether it was in this state.
    pub(crate) fn has(&self, file: &LocalFile<'_>) -> bool {
        self.0.get(&name("", file.path)) == Some(&state(file))
    }
}

struct Sweep {
    sent: Arc<Sent>,
    url: String,
    only: Option<Arc<States>>,
}

impl Ledger for Sweep {
    fn wants(&self, file: &LocalFile<'_>) -> bool {
        self.only.as_ref().is_none_or(|only| only.has(file)) && !self.sent.has(&self.url, file)
    }

    fn sent(&self, file: &LocalFile<'_>) {
        self.sent.add(&self.url, file);
    }
}

fn name(url: &str, path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    (url, path).hash(&mut hasher);
    hasher.finish()
}

fn state(file: &LocalFile<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (file.bytes, file.modified, file.changed, file.inode).hash(&mut hasher);
    hasher.finish()
}

fn record(bytes: &[u8]) -> Option<(u64, u64)> {
    let (name, state) = bytes.split_at_checked(8)?;
    Some((u64::from_le_bytes(name.try_into().ok()?), u64::from_le_bytes(state.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;
    use std::sync::Arc;

    use osmo_engine::LocalFile;

    use super::{FILES_MAX, Sent};

    fn file(path: &str, bytes: u64) -> LocalFile<'_> {
        LocalFile { path: Path::new(path), bytes, modified: (7, 1), changed: (7, 2), inode: (1, 9) }
    }

    #[test]
    fn a_file_is_known_in_its_state_and_place_only() {
        let root = tempfile::TempDir::new().unwrap();
        let path = root.path().join("sent");
        let sent = Arc::new(Sent::open(&path, false).unwrap());
        let sweep = sent.sweep("s3://b/x");
        assert!(sweep.wants(&file("/o/a", 1)));
        sweep.sent(&file("/o/a", 1));
        assert!(!sweep.wants(&file("/o/a", 1)));
        assert!(sweep.wants(&file("/o/a", 2)), "it grew");
        assert!(sweep.wants(&LocalFile { modified: (8, 1), ..file("/o/a", 1) }), "written again");
        assert!(sweep.wants(&file("/o/b", 1)));
        assert!(sent.sweep("s3://b/y").wants(&file("/o/a", 1)), "another place");
    }

    #[test]
    fn a_restarted_sidecar_knows_them_and_a_torn_record_is_dropped() {
        use std::io::Write as _;
        let root = tempfile::TempDir::new().unwrap();
        let path = root.path().join("sent");
        let sent = Arc::new(Sent::open(&path, false).unwrap());
        sent.sweep("u").sent(&file("/o/a", 1));
        let mut torn = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(&[1, 2, 3]).unwrap();
        let again = Arc::new(Sent::open(&path, false).unwrap());
        assert!(!again.sweep("u").wants(&file("/o/a", 1)));
        again.sweep("u").sent(&file("/o/b", 1));
        let third = Arc::new(Sent::open(&path, false).unwrap());
        assert!(!third.sweep("u").wants(&file("/o/b", 1)));
        let anew = Arc::new(Sent::open(&path, true).unwrap());
        assert!(anew.sweep("u").wants(&file("/o/a", 1)));
    }

    #[test]
    fn the_table_is_bounded() {
        let sent = Arc::new(Sent::default());
        let sweep = sent.sweep("u");
        for number in 0..FILES_MAX as u64 + 10 {
            sweep.sent(&file(&number.to_string(), 1));
        }
        assert_eq!(sent.book().states.len(), FILES_MAX);
        let last = (FILES_MAX + 5).to_string();
        assert!(sweep.wants(&file(&last, 1)), "what is not booked goes again");
    }
}
