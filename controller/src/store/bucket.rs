//! One bucket: an ordered index in memory, a journal and data files on disk.
//!
//! Every change goes the same way, under one lock: check the condition, append
//! the journal record, change the index. A reader sees the index before or
//! after, never between. Bodies are received and digested before the lock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::digest::{Declared, hex};
use super::error::{At as _, StoreError, StoreResult};
use super::journal::{Journal, Record};
use super::object::{Attributes, DataFile, Object, ObjectInfo, now_ms};
use super::replay::{Replay, data_path, records, sweep};
use super::staging::{Staged, Staging};
use super::uploads::{Part, PartClaim, PartInfo, Upload};

/// A key has at most this many bytes (S3's rule).
pub const KEY_BYTES_MAX: usize = 1024;
/// A journal is rewritten at start when it has this many records more than
/// twice what it describes.
const JOURNAL_SLACK: usize = 4096;

/// What must hold of a key for a change to it.
#[derive(Clone, Debug, Default)]
pub(super) enum Guard {
    /// Nothing.
    #[default]
    Always,
    /// `If-None-Match: *`.
    Absent,
    /// `If-Match: *`.
    Present,
    /// `If-Match` with an ETag, unquoted.
    Etag(String),
}

/// One bucket that is open.
#[derive(Debug)]
pub struct Bucket {
    name: String,
    folder: PathBuf,
    created_ms: u64,
    next_file: AtomicU64,
    index: RwLock<Index>,
}

#[derive(Debug)]
pub(super) struct Index {
    pub(super) objects: BTreeMap<String, Arc<Object>>,
    pub(super) uploads: BTreeMap<String, Upload>,
    journal: Journal,
    /// The bucket has been deleted; late changes must not bring it back.
    gone: bool,
}

impl Bucket {
    /// Opens the bucket in `folder`, which exists, and removes data files that
    /// no record names.
    pub(super) fn open(name: &str, folder: PathBuf) -> StoreResult<Self> {
        let data = folder.join("data");
        std::fs::create_dir_all(&data).at("create", &data)?;
        let created =
            std::fs::metadata(&folder).and_then(|m| m.created().or_else(|_| m.modified()));
        let created_ms = created
            .ok()
            .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
            .and_then(|since| u64::try_from(since.as_millis()).ok())
            .unwrap_or_else(now_ms);
        let mut replay = Replay::new(&folder);
        let (journal, read) = Journal::open(folder.join("journal"), |r| replay.apply(r))?;
        let last = sweep(&data, &replay.files())?;
        let Replay { objects, uploads, .. } = replay;
        let mut index = Index { objects, uploads, journal, gone: false };
        let live = records(&index.objects, &index.uploads).count();
        if read > 2 * live + JOURNAL_SLACK {
            index.journal.rewrite(records(&index.objects, &index.uploads))?;
        }
        let next_file = AtomicU64::new(last + 1);
        Ok(Self { name: name.to_owned(), folder, created_ms, next_file, index: RwLock::new(index) })
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When the bucket was created, in milliseconds since the epoch.
    pub fn created_ms(&self) -> u64 {
        self.created_ms
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> StoreResult<RwLockWriteGuard<'_, Index>> {
        let index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if index.gone { Err(StoreError::NoSuchBucket(self.name.clone())) } else { Ok(index) }
    }

    /// The object at a key.
    ///
    /// # Errors
    /// [`StoreError::NoSuchKey`].
    pub fn get(&self, key: &str) -> StoreResult<Arc<Object>> {
        let found = self.read().objects.get(key).cloned();
        found.ok_or_else(|| StoreError::NoSuchKey(key.to_owned()))
    }

    /// Keys of multipart uploads that were begun and neither completed nor
    /// aborted.
    pub fn unfinished_keys(&self) -> Vec<String> {
        self.read().uploads.values().map(|upload| upload.key.clone()).collect()
    }

    /// Opens a data file for a body that is about to arrive.
    pub(super) fn stage(&self, declared: &Declared) -> StoreResult<Staging> {
        let (number, path) = self.new_file();
        Staging::create(number, path, declared)
    }

    fn new_file(&self) -> (u64, PathBuf) {
        let number = self.next_file.fetch_add(1, Ordering::Relaxed);
        (number, data_path(&self.folder, number))
    }

    /// Makes a staged body the object at `key`.
    pub(super) fn put(
        &self,
        key: &str,
        staged: Staged,
        attributes: Attributes,
        guard: &Guard,
    ) -> StoreResult<Arc<Object>> {
        check_key(key)?;
        let info = ObjectInfo {
            size: staged.digests.bytes,
            etag: hex(&staged.digests.md5),
            modified_ms: now_ms(),
            attributes,
            checksums: staged.digests.checksums.clone(),
            segments: vec![staged.segment()],
            upload: None,
        };
        let mut index = self.write()?;
        index.check(key, guard)?;
        index.journal.append(&Record::Put { key: key.to_owned(), object: info.clone() })?;
        let object = Arc::new(Object { info, files: vec![staged.keep()] });
        let replaced = index.objects.insert(key.to_owned(), Arc::clone(&object));
        drop(index);
        doom(replaced);
        Ok(object)
    }

    /// Puts a copy of an object, of this bucket or another, at `key`. The data
    /// files are linked, not copied.
    pub(super) fn copy(
        &self,
        source: &Object,
        key: &str,
        attributes: Option<Attributes>,
    ) -> StoreResult<Arc<Object>> {
        check_key(key)?;
        let mut info = source.info.clone();
        info.modified_ms = now_ms();
        info.upload = None;
        if let Some(attributes) = attributes {
            info.attributes = attributes;
        }
        let mut files = Vec::with_capacity(source.files.len());
        for (file, segment) in source.files.iter().zip(&mut info.segments) {
            let (number, path) = self.new_file();
            link_with_folder(file.path(), &path).at("link a data file to", &path)?;
            segment.file = number;
            let file = DataFile::new(path);
            file.doom();
            files.push(file);
        }
        let mut index = self.write()?;
        index.journal.append(&Record::Put { key: key.to_owned(), object: info.clone() })?;
        files.iter().for_each(|file| file.keep());
        let object = Arc::new(Object { info, files });
        let replaced = index.objects.insert(key.to_owned(), Arc::clone(&object));
        drop(index);
        doom(replaced);
        Ok(object)
    }

    /// Deletes a key; one that does not exist is deleted already.
    pub(super) fn delete(&self, key: &str, guard: &Guard) -> StoreResult<()> {
        let mut index = self.write()?;
        if !index.objects.contains_key(key) {
            return Ok(());
        }
        index.check(key, guard)?;
        index.journal.append(&Record::Delete { key: key.to_owned() })?;
        let removed = index.objects.remove(key);
        drop(index);
        doom(removed);
        Ok(())
    }

    pub(super) fn begin_upload(
        &self,
        key: &str,
        attributes: Attributes,
        checksum: Option<String>,
    ) -> StoreResult<String> {
        check_key(key)?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let (key, started_ms) = (key.to_owned(), now_ms());
        let mut index = self.write()?;
        index.journal.append(&Record::Begin {
            upload: id.clone(),
            key: key.clone(),
            attributes: attributes.clone(),
            started_ms,
            checksum: checksum.clone(),
        })?;
        let upload = Upload { key, attributes, started_ms, checksum, parts: BTreeMap::new() };
        index.uploads.insert(id.clone(), upload);
        Ok(id)
    }

    /// The upload `id`, if it is one of `key`.
    pub(super) fn upload(&self, id: &str, key: &str) -> StoreResult<Upload> {
        self.read().upload(id, key).cloned()
    }

    /// The checksum algorithm announced for the upload `id` of `key`.
    pub(super) fn upload_checksum(&self, id: &str, key: &str) -> StoreResult<Option<String>> {
        self.read().upload(id, key).map(|upload| upload.checksum.clone())
    }

    pub(super) fn put_part(
        &self,
        id: &str,
        key: &str,
        number: i32,
        staged: Staged,
    ) -> StoreResult<PartInfo> {
        let info = PartInfo {
            etag: hex(&staged.digests.md5),
            modified_ms: now_ms(),
            checksums: staged.digests.checksums.clone(),
            segment: staged.segment(),
        };
        let mut index = self.write()?;
        index.upload(id, key)?;
        index.journal.append(&Record::Part {
            upload: id.to_owned(),
            number,
            part: info.clone(),
        })?;
        let part = Part { info: info.clone(), data: staged.keep() };
        let replaced = index.uploads.get_mut(id).and_then(|u| u.parts.insert(number, part));
        drop(index);
        if let Some(part) = replaced {
            part.data.doom();
        }
        Ok(info)
    }

    /// Makes an upload an object. `accept` sees it before it shows. A repeated
    /// completion of the same upload gives the same answer.
    pub(super) fn complete(
        &self,
        id: &str,
        key: &str,
        claims: &[PartClaim],
        guard: &Guard,
        accept: impl FnOnce(&ObjectInfo) -> StoreResult<()>,
    ) -> StoreResult<Arc<Object>> {
        let mut index = self.write()?;
        if let Some(done) = index.objects.get(key)
            && done.info.upload.as_deref() == Some(id)
        {
            return Ok(Arc::clone(done));
        }
        let object = index.upload(id, key)?.assemble(id, claims)?;
        accept(&object.info)?;
        index.check(key, guard)?;
        let (upload, key) = (id.to_owned(), key.to_owned());
        index.journal.append(&Record::Complete {
            upload,
            key: key.clone(),
            object: object.info.clone(),
        })?;
        let object = Arc::new(object);
        let replaced = index.objects.insert(key, Arc::clone(&object));
        let upload = index.uploads.remove(id);
        drop(index);
        doom(replaced);
        if let Some(upload) = upload {
            upload.doom_except(Some(&object));
        }
        Ok(object)
    }

    pub(super) fn abort(&self, id: &str, key: &str) -> StoreResult<()> {
        let mut index = self.write()?;
        index.upload(id, key)?;
        index.journal.append(&Record::Abort { upload: id.to_owned() })?;
        let upload = index.uploads.remove(id);
        drop(index);
        if let Some(upload) = upload {
            upload.doom_except(None);
        }
        Ok(())
    }

    /// Marks an empty bucket as gone, so that nothing can be added any more.
    pub(super) fn close_empty(&self) -> StoreResult<()> {
        let mut index = self.write()?;
        if !index.objects.is_empty() || !index.uploads.is_empty() {
            return Err(StoreError::BucketNotEmpty(self.name.clone()));
        }
        index.gone = true;
        Ok(())
    }

    pub(super) fn sync(&self) -> StoreResult<()> {
        self.read().journal.sync()
    }
}

impl Index {
    fn check(&self, key: &str, guard: &Guard) -> StoreResult<()> {
        let current = self.objects.get(key).map(|object| object.info.etag.as_str());
        match guard {
            Guard::Always => Ok(()),
            Guard::Absent if current.is_none() => Ok(()),
            Guard::Absent => Err(StoreError::PreconditionFailed("If-None-Match")),
            Guard::Present | Guard::Etag(_) if current.is_none() => {
                Err(StoreError::NoSuchKey(key.to_owned()))
            }
            Guard::Present => Ok(()),
            Guard::Etag(etag) if current == Some(etag.as_str()) => Ok(()),
            Guard::Etag(_) => Err(StoreError::PreconditionFailed("If-Match")),
        }
    }

    fn upload(&self, id: &str, key: &str) -> StoreResult<&Upload> {
        let upload = self.uploads.get(id).filter(|upload| upload.key == key);
        upload.ok_or_else(|| StoreError::NoSuchUpload(id.to_owned()))
    }
}

fn link_with_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    match std::fs::hard_link(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if let Some(folder) = to.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::hard_link(from, to)
        }
        result => result,
    }
}

fn check_key(key: &str) -> StoreResult<()> {
    match key.len() {
        1..=KEY_BYTES_MAX => Ok(()),
        bytes => Err(StoreError::KeyLength(bytes)),
    }
}

fn doom(object: Option<Arc<Object>>) {
    if let Some(object) = object {
        object.doom();
    }
}
