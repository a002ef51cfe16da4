//! A bucket's journal: one JSON line for each change, appended before the
//! change shows.
//!
//! The line is the commit. A line that a crash cut short is dropped at the next
//! start, together with the data files it would have named. The journal is
//! rewritten at start when most of its lines are of the past. Changes survive
//! the end of the process in any way; they are not forced to disk, so a power
//! cut can lose the latest.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{At as _, StoreError, StoreResult};
use super::object::{Attributes, ObjectInfo};
use super::uploads::PartInfo;

/// One change to a bucket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    Put {
        key: String,
        object: ObjectInfo,
    },
    Delete {
        key: String,
    },
    Begin {
        upload: String,
        key: String,
        attributes: Attributes,
        started_ms: u64,
        checksum: Option<String>,
    },
    Part {
        upload: String,
        number: i32,
        part: PartInfo,
    },
    Complete {
        upload: String,
        key: String,
        object: ObjectInfo,
    },
    Abort {
        upload: String,
    },
}

/// The open journal of one bucket.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    end: u64,
}

impl Journal {
    /// Reads every whole record, cuts off a torn last line, and opens the end
    /// for appending. The second value is the number of records read.
    pub(super) fn open(path: PathBuf, mut apply: impl FnMut(Record)) -> StoreResult<(Self, usize)> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .at("open the journal", &path)?;
        let mut reader = BufReader::with_capacity(1 << 20, &file);
        let (mut end, mut count, mut line) = (0u64, 0usize, Vec::new());
        loop {
            line.clear();
            reader.read_until(b'\n', &mut line).at("read the journal", &path)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            let record = serde_json::from_slice(&line).map_err(|error| StoreError::Corrupt {
                path: path.clone(),
                reason: format!("line {} is no journal record ({error})", count + 1),
            })?;
            apply(record);
            count += 1;
            end += line.len() as u64;
        }
        file.set_len(end).at("cut the torn end off the journal", &path)?;
        Ok((Self { path, file, end }, count))
    }

    /// Replaces the journal by these records, in one step.
    pub(super) fn rewrite(&mut self, records: impl Iterator<Item = Record>) -> StoreResult<()> {
        let fresh = self.path.with_extension("new");
        let mut out = BufWriter::new(File::create(&fresh).at("create the journal", &fresh)?);
        for record in records {
            out.write_all(&line_of(&record, &fresh)?).at("write the journal", &fresh)?;
        }
        let file = out.into_inner().map_err(|e| e.into_error()).at("write the journal", &fresh)?;
        file.sync_data().at("write the journal", &fresh)?;
        drop(file);
        std::fs::rename(&fresh, &self.path).at("replace the journal", &self.path)?;
        let file =
            OpenOptions::new().append(true).open(&self.path).at("open the journal", &self.path)?;
        self.end = file.metadata().at("open the journal", &self.path)?.len();
        self.file = file;
        Ok(())
    }

    /// Appends one record. After an error the journal is as before.
    pub(super) fn append(&mut self, record: &Record) -> StoreResult<()> {
        let line = line_of(record, &self.path)?;
        if let Err(error) = self.file.write_all(&line) {
            // A half-written line would swallow the next one.
            self.file.set_len(self.end).at("cut the torn end off the journal", &self.path)?;
            return Err(error).at("write the journal", &self.path);
        }
        self.end += line.len() as u64;
        Ok(())
    }

    /// Forces what was appended to disk.
    pub(super) fn sync(&self) -> StoreResult<()> {
        self.file.sync_data().at("flush the journal", &self.path)
    }
}

fn line_of(record: &Record, path: &Path) -> StoreResult<Vec<u8>> {
    let mut line =
        serde_json::to_vec(record).map_err(std::io::Error::other).at("encode for", path)?;
    line.push(b'\n');
    Ok(line)
}
