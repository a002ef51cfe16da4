//! What holds of a journal whose file has any bytes.

use std::collections::HashMap;
use std::ffi::CString;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::record::{RECORD_BYTES, Record, sealed};
use super::{Journal, Log, Look, Name};

/// A file of `bytes`, as it is and with each checksum made right.
///
/// # Errors
/// The disk's own.
pub(crate) fn journal(bytes: &[u8]) -> io::Result<()> {
    let mut mended = bytes.to_vec();
    let (records, _) = mended.as_chunks_mut::<RECORD_BYTES>();
    records.iter_mut().for_each(sealed);
    opened(bytes)?;
    opened(&mended)
}

/// What is read of it is what some run wrote, and the last word on an object is
/// the one that is found.
fn opened(bytes: &[u8]) -> io::Result<()> {
    let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
    let mut last: HashMap<Name, Look> = HashMap::new();
    for bytes in records {
        let Some(record) = Record::decode(bytes) else { continue };
        assert_eq!(record.encode(), *bytes, "{record:?} was never written so");
        if let Record::Done { name, look, .. } = record {
            last.insert(name, look);
        }
    }
    let folder: OwnedFd = std::fs::File::open(std::env::temp_dir())?.into();
    let log = nameless(&folder)?;
    log.file().write_all(bytes)?;
    let journal = Journal::with(log, folder, "j-", 1)?;
    assert_eq!(journal.knows_any(), !last.is_empty());
    for (name, look) in &last {
        assert!(journal.is_done(name, look).is_some());
        let other = Look { bytes: look.bytes ^ 1, ..*look };
        assert!(journal.is_done(name, &other).is_none(), "another file is not that one");
    }
    Ok(())
}

fn nameless(folder: &OwnedFd) -> io::Result<Log> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = CString::new(format!("osmo-fuzz-{}-{number}", std::process::id()))?;
    let fresh = OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    drop(rustix::fs::openat(folder, &name, fresh, Mode::from_raw_mode(0o600))?);
    let log = Log::open(folder, &name);
    rustix::fs::unlinkat(folder, &name, AtFlags::empty())?;
    log
}
