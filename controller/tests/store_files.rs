//! The file store by itself: what it leaves on disk.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use osmo_controller::store::{FileStore, StoreError};
use tempfile::TempDir;

fn put(store: &FileStore, key: &str, body: &[u8]) {
    let mut put = store.put("bucket", key).unwrap();
    put.write(body).unwrap();
    put.finish().unwrap();
}

fn data_files(root: &Path) -> usize {
    let folders = std::fs::read_dir(root.join("buckets/bucket/data")).unwrap();
    folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
}

#[test]
fn replaced_and_abandoned_bytes_leave_the_disk() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    store.create_bucket("bucket").unwrap();
    put(&store, "key", b"first");
    let held = store.bucket("bucket").unwrap().get("key").unwrap();
    put(&store, "key", b"second");
    assert_eq!(data_files(folder.path()), 2, "a reader keeps what it began with");
    drop(held);
    assert_eq!(data_files(folder.path()), 1);
    let mut abandoned = store.put("bucket", "other").unwrap();
    abandoned.write(b"never finished").unwrap();
    assert_eq!(data_files(folder.path()), 2);
    drop(abandoned);
    assert_eq!(data_files(folder.path()), 1);
    assert!(matches!(store.bucket("bucket").unwrap().get("other"), Err(StoreError::NoSuchKey(_))));
}

#[test]
fn a_journal_of_the_past_is_rewritten_at_start() {
    const ROUNDS: usize = 4200;
    let folder = TempDir::new().unwrap();
    let journal = folder.path().join("buckets/bucket/journal");
    let lines = || std::fs::read_to_string(&journal).unwrap().lines().count();
    {
        let store = FileStore::open(folder.path()).unwrap();
        store.create_bucket("bucket").unwrap();
        for round in 0..ROUNDS {
            put(&store, "key", round.to_string().as_bytes());
        }
        put(&store, "last", b"");
        assert_eq!(lines(), ROUNDS + 1);
    }
    for _ in 0..2 {
        let store = FileStore::open(folder.path()).unwrap();
        assert_eq!(lines(), 2);
        let object = store.bucket("bucket").unwrap().get("key").unwrap();
        assert_eq!(object.info.size, 4, "the last round");
    }
    let store = FileStore::open(folder.path()).unwrap();
    put(&store, "after", b"x");
    assert_eq!((lines(), data_files(folder.path())), (3, 3));
}

#[test]
fn a_folder_that_is_not_a_store_is_refused() {
    let folder = TempDir::new().unwrap();
    let bucket = folder.path().join("buckets/bucket");
    std::fs::create_dir_all(&bucket).unwrap();
    std::fs::write(bucket.join("journal"), "{}\nnot a record\n").unwrap();
    let refused = FileStore::open(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("line 1 is no journal record"), "{refused}");
    assert!(refused.contains("choose another"), "{refused}");
}

#[test]
fn bucket_names_are_checked() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    for name in ["", "ab", "Upper", "a/b", "..", "under_score", "a..b"] {
        let refused = store.create_bucket(name).unwrap_err();
        assert!(matches!(refused, StoreError::InvalidBucketName(_)), "{name}");
    }
    store.create_bucket("abc").unwrap();
    store.delete_bucket("abc").unwrap();
    assert!(matches!(store.bucket("abc"), Err(StoreError::NoSuchBucket(_))));
    store.create_bucket("abc").unwrap();
}
