//! A file of records, appended to and read from its start.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags};

use super::record::{RECORD_BYTES, Record};

/// Records read at once.
const READ_RECORDS: usize = 256;

pub(super) struct Log {
    file: File,
}

impl Log {
    /// Opens `name` in `folder`, and creates it where it is missing.
    pub(super) fn open(folder: impl AsFd, name: &CStr) -> io::Result<Self> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::APPEND;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600))?;
        Ok(Self { file: File::from(fd) })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Cuts off what a killed process left of a record, so that the next one
    /// begins in its place.
    pub(super) fn trim(&self) -> io::Result<()> {
        let bytes = self.file.metadata()?.len();
        match bytes % RECORD_BYTES as u64 {
            0 => Ok(()),
            torn => self.file.set_len(bytes - torn),
        }
    }

    pub(super) fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)
    }

    /// One write a record; several threads may append.
    pub(super) fn append(&self, record: &Record) -> io::Result<()> {
        (&self.file).write_all(&record.encode())
    }

    /// Every record that can be read, in order.
    pub(super) fn each(&self, mut see: impl FnMut(Record)) -> io::Result<()> {
        let mut bytes = vec![0; READ_RECORDS * RECORD_BYTES];
        let mut offset = 0;
        loop {
            let count = read_full(&self.file, &mut bytes, offset)?;
            let (records, _) = bytes[..count].as_chunks::<RECORD_BYTES>();
            for record in records {
                if let Some(record) = Record::decode(record) {
                    see(record);
                }
            }
            if count < bytes.len() {
                return Ok(());
            }
            offset += count as u64;
        }
    }
}

fn read_full(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
