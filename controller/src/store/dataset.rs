//! Data sets made from a seed, so that an example has input without a download.
//!
//! ```yaml
//! seed: 7
//! objects:
//!   - url: s3://datasets/vision/images/
//!     count: 400
//!     bytes: 64KiB..512KiB        # half-open; one size is written alone
//!     name: "img-{:06}.bin"       # {} or {:0N}: the object's number, from 0
//! ```
//!
//! The same spec gives the same bytes everywhere. A manifest in the store says
//! what was generated; a set is used again only if every object is still what
//! the manifest says, and made anew otherwise.

mod content;
mod spec;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::digest::hex;
use super::error::{At as _, StoreError, StoreResult};
use super::files::FileStore;
use content::Content;
pub use spec::{DatasetSpec, NamePattern, ObjectGroup, SizeRange};

/// The version of the bytes that a spec stands for.
const CONTENT_VERSION: u32 = 1;
/// Bytes made and written at a time.
const STEP_BYTES: usize = 1 << 20;
/// Threads that make objects, at most.
const THREADS_MAX: usize = 8;

/// What a generation did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatasetReport {
    /// Objects in the set.
    pub files: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// The set was there already, unchanged.
    pub reused: bool,
}

/// How far a generation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatasetProgress {
    /// Objects made.
    pub files: u64,
    /// Objects to make in all.
    pub files_total: u64,
    /// Bytes made.
    pub bytes: u64,
    /// Bytes to make in all.
    pub bytes_total: u64,
}

/// Why a data set could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The spec is not one.
    #[error("data set spec: {0}")]
    Spec(String),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One object to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Planned {
    bucket: String,
    key: String,
    bytes: u64,
}

/// What the store holds of a spec.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    files: u64,
    bytes: u64,
    /// SHA-256 over every bucket, key, size and ETag of the set.
    digest: String,
}

/// Makes the objects of `spec` in `store`, or finds them there. Blocks: call it
/// from a worker thread. `progress` is called from several threads.
///
/// # Errors
/// [`DatasetError::Spec`] when two objects have one key, else what the store
/// says. After an error the next call makes the set anew.
pub fn generate(
    store: &FileStore,
    spec: &DatasetSpec,
    progress: &(dyn Fn(DatasetProgress) + Sync),
) -> Result<DatasetReport, DatasetError> {
    let plan = spec.plan()?;
    let (files, bytes) = (plan.len() as u64, plan.iter().map(|object| object.bytes).sum());
    let path = manifest_path(store, spec)?;
    if is_there(store, &plan, &path)? {
        return Ok(DatasetReport { files, bytes, reused: true });
    }
    let buckets = std::collections::BTreeSet::from_iter(plan.iter().map(|object| &object.bucket));
    for bucket in buckets {
        store.ensure_bucket(bucket)?;
    }
    let mut order: Vec<&Planned> = plan.iter().collect();
    // The largest first, so that no thread is left with one at the end.
    order.sort_by_key(|object| std::cmp::Reverse(object.bytes));
    make_all(store, spec.seed, &order, bytes, progress)?;
    let digest = set_digest(store, &plan)?.ok_or_else(|| {
        DatasetError::Spec("the objects changed while they were made; run again".to_owned())
    })?;
    write_manifest(&path, &Manifest { files, bytes, digest })?;
    Ok(DatasetReport { files, bytes, reused: false })
}

fn make_all(
    store: &FileStore,
    seed: u64,
    order: &[&Planned],
    bytes_total: u64,
    progress: &(dyn Fn(DatasetProgress) + Sync),
) -> StoreResult<()> {
    let (next, files, bytes) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let files_total = order.len() as u64;
    let report = || {
        progress(DatasetProgress {
            files: files.load(Ordering::Relaxed),
            files_total,
            bytes: bytes.load(Ordering::Relaxed),
            bytes_total,
        });
    };
    let work = || -> StoreResult<()> {
        let mut step = vec![0; STEP_BYTES];
        while let Some(object) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let made = make(store, seed, object, &mut step, |written| {
                bytes.fetch_add(written, Ordering::Relaxed);
                report();
            });
            if made.is_err() {
                // The other threads need not begin another object.
                next.store(order.len(), Ordering::Relaxed);
                return made;
            }
            files.fetch_add(1, Ordering::Relaxed);
            report();
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|w| w.join().unwrap_or(Err(StoreError::Worker)))
    })
}

fn make(
    store: &FileStore,
    seed: u64,
    object: &Planned,
    step: &mut [u8],
    written: impl Fn(u64),
) -> StoreResult<()> {
    let mut content = Content::new(seed, &object.bucket, &object.key);
    let mut writer = store.put(&object.bucket, &object.key)?;
    let mut left = object.bytes;
    while left > 0 {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(step.len());
        content.fill(&mut step[..take]);
        writer.write(&step[..take])?;
        left -= take as u64;
        written(take as u64);
    }
    writer.finish().map(drop)
}

fn manifest_path(store: &FileStore, spec: &DatasetSpec) -> StoreResult<PathBuf> {
    let folder = store.root().join("datasets");
    std::fs::create_dir_all(&folder).at("create", &folder)?;
    let text = serde_json::to_vec(&(CONTENT_VERSION, spec)).map_err(std::io::Error::other);
    let name = hex(&Sha256::digest(text.at("encode for", &folder)?));
    Ok(folder.join(format!("{name}.json")))
}

fn is_there(store: &FileStore, plan: &[Planned], path: &std::path::Path) -> StoreResult<bool> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        text => text.at("read", path)?,
    };
    // A manifest that cannot be read is one that was not finished.
    let Ok(manifest) = serde_json::from_slice::<Manifest>(&text) else { return Ok(false) };
    Ok(set_digest(store, plan)? == Some(manifest.digest))
}

/// The digest of the set as the store has it; nothing if an object is missing
/// or has another size.
fn set_digest(store: &FileStore, plan: &[Planned]) -> StoreResult<Option<String>> {
    let mut digest = Sha256::new();
    for planned in plan {
        let found = store.bucket(&planned.bucket).and_then(|bucket| bucket.get(&planned.key));
        let object = match found {
            Err(StoreError::NoSuchBucket(_) | StoreError::NoSuchKey(_)) => return Ok(None),
            found => found?,
        };
        if object.info.size != planned.bytes {
            return Ok(None);
        }
        let Planned { bucket, key, bytes } = planned;
        digest.update(format!("{bucket}\n{key}\n{bytes}\n{}\n", object.info.etag));
    }
    Ok(Some(hex(&digest.finalize())))
}

fn write_manifest(path: &std::path::Path, manifest: &Manifest) -> StoreResult<()> {
    let text =
        serde_json::to_vec(manifest).map_err(std::io::Error::other).at("encode for", path)?;
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, text).at("write", &fresh)?;
    std::fs::rename(&fresh, path).at("write", path)
}
