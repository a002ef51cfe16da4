//! The file store: buckets in a folder, opened once.
//!
//! ```text
//! <root>/lock                         held while the store is open
//! <root>/buckets/<bucket>/journal     every change, one JSON line each
//! <root>/buckets/<bucket>/data/NN/…   bytes, named by number, never by key
//! <root>/datasets/<hash>.json         data sets that are there whole
//! ```

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::bucket::{Bucket, Guard};
use super::digest::Declared;
use super::error::{At as _, StoreError, StoreResult};
use super::object::{Attributes, Object};
use super::staging::Staging;

/// Buckets and objects in a folder. Cheap to share behind an [`Arc`].
#[derive(Debug)]
pub struct FileStore {
    root: PathBuf,
    folder: PathBuf,
    buckets: RwLock<BTreeMap<String, Arc<Bucket>>>,
    _lock: File,
}

impl FileStore {
    /// Opens the store in `root`, which is created if it does not exist.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process holds it, [`StoreError::Io`],
    /// [`StoreError::Corrupt`].
    pub fn open(root: &Path) -> StoreResult<Self> {
        let folder = root.join("buckets");
        std::fs::create_dir_all(&folder).at("create", &folder)?;
        let lock = lock(root)?;
        let mut buckets = BTreeMap::new();
        for entry in std::fs::read_dir(&folder).at("list", &folder)? {
            let path = entry.at("list", &folder)?.path();
            let name =
                path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if !s3s::path::check_bucket_name(&name) {
                // A deletion that was cut short.
                std::fs::remove_dir_all(&path).at("remove", &path)?;
                continue;
            }
            buckets.insert(name.clone(), Arc::new(Bucket::open(&name, path)?));
        }
        Ok(Self { root: root.to_owned(), folder, buckets: RwLock::new(buckets), _lock: lock })
    }

    /// The folder that holds the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Creates a bucket.
    ///
    /// # Errors
    /// [`StoreError::BucketExists`], [`StoreError::InvalidBucketName`], I/O.
    pub fn create_bucket(&self, name: &str) -> StoreResult<Arc<Bucket>> {
        if !s3s::path::check_bucket_name(name) {
            return Err(StoreError::InvalidBucketName(name.to_owned()));
        }
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        if buckets.contains_key(name) {
            return Err(StoreError::BucketExists(name.to_owned()));
        }
        let path = self.folder.join(name);
        std::fs::create_dir_all(&path).at("create", &path)?;
        let bucket = Arc::new(Bucket::open(name, path)?);
        buckets.insert(name.to_owned(), Arc::clone(&bucket));
        Ok(bucket)
    }

    /// The bucket of that name, created if it does not exist.
    ///
    /// # Errors
    /// As [`FileStore::create_bucket`], but never [`StoreError::BucketExists`].
    pub fn ensure_bucket(&self, name: &str) -> StoreResult<Arc<Bucket>> {
        match self.create_bucket(name) {
            Err(StoreError::BucketExists(_)) => self.bucket(name),
            other => other,
        }
    }

    /// The bucket of that name.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub fn bucket(&self, name: &str) -> StoreResult<Arc<Bucket>> {
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        buckets.get(name).cloned().ok_or_else(|| StoreError::NoSuchBucket(name.to_owned()))
    }

    /// All buckets, by name.
    pub fn buckets(&self) -> Vec<Arc<Bucket>> {
        self.buckets.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Deletes an empty bucket.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::BucketNotEmpty`], I/O.
    pub fn delete_bucket(&self, name: &str) -> StoreResult<()> {
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.get(name).ok_or_else(|| StoreError::NoSuchBucket(name.to_owned()))?;
        bucket.close_empty()?;
        let from = bucket.folder().to_owned();
        buckets.remove(name);
        // No bucket name starts with a dot: a start after a crash finishes this.
        let aside = self.folder.join(format!(".{}", uuid::Uuid::new_v4().simple()));
        std::fs::rename(&from, &aside).at("set aside", &from)?;
        std::fs::remove_dir_all(&aside).at("remove", &aside)
    }

    /// Begins an object that is written from this process.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], I/O.
    pub fn put(&self, bucket: &str, key: &str) -> StoreResult<PutWriter> {
        let bucket = self.bucket(bucket)?;
        let staging = bucket.stage(&Declared::default())?;
        Ok(PutWriter { bucket, key: key.to_owned(), staging })
    }

    /// Forces all journals to disk.
    ///
    /// # Errors
    /// I/O.
    pub fn sync(&self) -> StoreResult<()> {
        self.buckets().iter().try_for_each(|bucket| bucket.sync())
    }
}

/// An object on its way in. Dropped before [`PutWriter::finish`], it leaves
/// nothing behind.
pub struct PutWriter {
    bucket: Arc<Bucket>,
    key: String,
    staging: Staging,
}

impl PutWriter {
    /// Appends bytes.
    ///
    /// # Errors
    /// I/O.
    pub fn write(&mut self, bytes: &[u8]) -> StoreResult<()> {
        self.staging.write(bytes)
    }

    /// Makes the object visible, with its MD5 as ETag and its CRC-64/NVME.
    ///
    /// # Errors
    /// I/O, [`StoreError::KeyLength`].
    pub fn finish(self) -> StoreResult<Arc<Object>> {
        let Self { bucket, key, staging } = self;
        bucket.put(&key, staging.finish(), Attributes::default(), &Guard::Always)
    }
}

/// How long a store that is just being closed may keep its lock: a process that
/// was forked a moment ago holds it until it has executed its program.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

fn lock(root: &Path) -> StoreResult<File> {
    let path = root.join("lock");
    let file = File::options().write(true).create(true).truncate(false).open(&path);
    let file = file.at("open", &path)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_PATIENCE / 100);
            }
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(root.to_owned())),
            Err(TryLockError::Error(error)) => return Err(error).at("lock", &path),
        }
    }
}
