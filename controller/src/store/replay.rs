//! A bucket's index and its journal, each out of the other.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{At as _, StoreResult};
use super::journal::Record;
use super::object::{DataFile, Object, ObjectInfo, Segment};
use super::uploads::{Part, Upload};

/// The index as the journal's records build it.
pub(super) struct Replay {
    folder: PathBuf,
    pub(super) objects: BTreeMap<String, Arc<Object>>,
    pub(super) uploads: BTreeMap<String, Upload>,
}

impl Replay {
    /// For the bucket in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), objects: BTreeMap::new(), uploads: BTreeMap::new() }
    }

    /// Applies the next record.
    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Put { key, object } => self.insert(key, object),
            Record::Delete { key } => {
                self.objects.remove(&key);
            }
            Record::Begin { upload, key, attributes, started_ms, checksum } => {
                let begun =
                    Upload { key, attributes, started_ms, checksum, parts: BTreeMap::new() };
                self.uploads.insert(upload, begun);
            }
            Record::Part { upload, number, part } => {
                let data = self.file(part.segment);
                if let Some(upload) = self.uploads.get_mut(&upload) {
                    upload.parts.insert(number, Part { info: part, data });
                }
            }
            Record::Complete { upload, key, object } => {
                self.uploads.remove(&upload);
                self.insert(key, object);
            }
            Record::Abort { upload } => {
                self.uploads.remove(&upload);
            }
        }
    }

    fn insert(&mut self, key: String, info: ObjectInfo) {
        let files = info.segments.iter().map(|segment| self.file(*segment)).collect();
        self.objects.insert(key, Arc::new(Object { info, files }));
    }

    fn file(&self, segment: Segment) -> Arc<DataFile> {
        DataFile::new(data_path(&self.folder, segment.file))
    }

    /// The numbers of the data files in use.
    pub(super) fn files(&self) -> HashSet<u64> {
        let objects = self.objects.values().flat_map(|object| &object.info.segments);
        let parts = self.uploads.values().flat_map(|upload| upload.parts.values());
        objects.map(|s| s.file).chain(parts.map(|part| part.info.segment.file)).collect()
    }
}

/// Removes data files that nothing names; returns the greatest number in use.
pub(super) fn sweep(data: &Path, named: &HashSet<u64>) -> StoreResult<u64> {
    for folder in std::fs::read_dir(data).at("list", data)? {
        let folder = folder.at("list", data)?.path();
        for file in std::fs::read_dir(&folder).at("list", &folder)? {
            let path = file.at("list", &folder)?.path();
            let number = path.file_name().and_then(|name| name.to_str());
            let number = number.and_then(|name| u64::from_str_radix(name, 16).ok());
            if !number.is_some_and(|number| named.contains(&number)) {
                std::fs::remove_file(&path).at("remove the unfinished", &path)?;
            }
        }
    }
    Ok(named.iter().copied().max().unwrap_or(0))
}

/// The shortest journal that describes an index.
pub(super) fn records<'a>(
    objects: &'a BTreeMap<String, Arc<Object>>,
    uploads: &'a BTreeMap<String, Upload>,
) -> impl Iterator<Item = Record> + 'a {
    let objects = objects
        .iter()
        .map(|(key, object)| Record::Put { key: key.clone(), object: object.info.clone() });
    let uploads = uploads.iter().flat_map(|(id, upload)| {
        let begin = Record::Begin {
            upload: id.clone(),
            key: upload.key.clone(),
            attributes: upload.attributes.clone(),
            started_ms: upload.started_ms,
            checksum: upload.checksum.clone(),
        };
        let parts = upload.parts.iter().map(move |(number, part)| Record::Part {
            upload: id.clone(),
            number: *number,
            part: part.info.clone(),
        });
        std::iter::once(begin).chain(parts)
    });
    objects.chain(uploads)
}

/// Where a data file lies: by number, never by key.
pub(super) fn data_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("data/{:02x}/{number:016x}", number & 0xff))
}
