//! The objects that earlier runs completed, found by name: a hash table in a
//! file without a name, so that millions of them cost no memory.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::log::Log;
use super::record::{Look, Name, RECORD_BYTES, Record, Stamp};

/// A table of half-empty slots, one record each.
pub(super) struct DoneTable {
    file: File,
    slots: u64,
}

impl DoneTable {
    /// What `log` says is done; `None` for nothing.
    pub(super) fn of(log: &Log, folder: impl AsFd) -> io::Result<Option<Self>> {
        let mut count: u64 = 0;
        log.each(|record| count += u64::from(matches!(record, Record::Done { .. })))?;
        if count == 0 {
            return Ok(None);
        }
        let table = Self { file: nameless(folder)?, slots: count * 2 };
        table.file.set_len(table.slots * RECORD_BYTES as u64)?;
        let mut filled = Ok(());
        log.each(|record| {
            if let Record::Done { name, .. } = record
                && filled.is_ok()
            {
                filled = table.insert(&name, &record);
            }
        })?;
        filled.map(|()| Some(table))
    }

    /// When the object was done, and how it looked.
    pub(super) fn get(&self, name: &Name) -> io::Result<Option<(Stamp, Look)>> {
        self.find(name).map(|(_, found)| found)
    }

    /// The last word on an object counts.
    fn insert(&self, name: &Name, record: &Record) -> io::Result<()> {
        let (slot, _) = self.find(name)?;
        self.file.write_all_at(&record.encode(), slot * RECORD_BYTES as u64)
    }

    /// The object's slot or the free one for it, and what is there.
    fn find(&self, name: &Name) -> io::Result<(u64, Option<(Stamp, Look)>)> {
        let mut slot = home(name) % self.slots;
        loop {
            let mut bytes = [0; RECORD_BYTES];
            self.file.read_exact_at(&mut bytes, slot * RECORD_BYTES as u64)?;
            match Record::decode(&bytes) {
                Some(Record::Done { stamp, name: found, look }) if found == *name => {
                    return Ok((slot, Some((stamp, look))));
                }
                Some(_) => slot = (slot + 1) % self.slots,
                None => return Ok((slot, None)),
            }
        }
    }
}

/// Names are digests, so any of their bytes spread evenly.
fn home(name: &Name) -> u64 {
    let (first, _) = name.split_first_chunk().unwrap_or((&[0; 8], &[]));
    u64::from_le_bytes(*first)
}

fn nameless(folder: impl AsFd) -> io::Result<File> {
    let folder = folder.as_fd();
    let (flags, mode) = (OFlags::RDWR | OFlags::CLOEXEC, Mode::from_raw_mode(0o600));
    match rustix::fs::openat(folder, c".", flags | OFlags::TMPFILE, mode) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {}
        opened => return Ok(opened?.into()),
    }
    let name = c"done";
    let opened = rustix::fs::openat(folder, name, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
    rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
    Ok(opened.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn name(number: u64) -> Name {
        // A few homes only, so that many meet there.
        let mut name = [0; 16];
        name[..8].copy_from_slice(&(number % 5).to_le_bytes());
        name[8..].copy_from_slice(&number.to_le_bytes());
        name
    }

    fn done(number: u64, bytes: u64) -> Record {
        let look = Look { inode: number, bytes, modified: (0, 0) };
        Record::Done { stamp: Stamp { run: 1, epoch: 2 }, name: name(number), look }
    }

    #[test]
    fn what_was_done_last_is_found_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let fd = File::open(folder.path()).unwrap();
        let log = Log::open(&fd, c"log").unwrap();
        assert!(DoneTable::of(&log, &fd).unwrap().is_none());
        for number in 0..1000 {
            log.append(&done(number, 1)).unwrap();
        }
        log.append(&done(77, 2)).unwrap();
        let table = DoneTable::of(&log, &fd).unwrap().unwrap();
        for number in 0..1000 {
            let (stamp, look) = table.get(&name(number)).unwrap().unwrap();
            assert_eq!(stamp, Stamp { run: 1, epoch: 2 });
            assert_eq!((look.inode, look.bytes), (number, if number == 77 { 2 } else { 1 }));
        }
        assert!(table.get(&name(1000)).unwrap().is_none());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "it has no name");
    }
}
