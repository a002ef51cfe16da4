//! Data sets made from a seed.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use osmo_controller::store::FileStore;
use osmo_controller::store::dataset::{DatasetProgress, DatasetReport, DatasetSpec, generate};
use tempfile::TempDir;

const SPEC: &str = r#"
seed: 7
objects:
  - url: s3://datasets/vision/images/
    count: 20
    bytes: 1KiB..64KiB
    name: "img-{:06}.bin"
  - { url: s3://datasets/vision/shards/, bytes: 3MiB, name: "shard" }
  - { url: s3://other, count: 2, bytes: 0 }
"#;

fn run(store: &FileStore, spec: &str) -> DatasetReport {
    generate(store, &DatasetSpec::parse(spec).unwrap(), &|_| {}).unwrap()
}

fn etags(store: &FileStore) -> Vec<(String, u64, String)> {
    let names = (0..20).map(|n| format!("vision/images/img-{n:06}.bin"));
    names
        .chain(["vision/shards/shard".to_owned()])
        .map(|key| {
            let object = store.bucket("datasets").unwrap().get(&key).unwrap();
            (key, object.info.size, object.info.etag.clone())
        })
        .collect()
}

#[test]
fn a_spec_gives_the_same_bytes_anywhere() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (one, two) = (FileStore::open(one.path()).unwrap(), FileStore::open(two.path()).unwrap());
    let report = run(&one, SPEC);
    assert_eq!((report.files, report.reused), (23, false));
    run(&two, SPEC);
    let (first, second) = (etags(&one), etags(&two));
    assert_eq!(first, second);
    assert_eq!(report.bytes, first.iter().map(|(_, size, _)| size).sum::<u64>());
    assert!(first[..20].iter().all(|(_, size, _)| (1024..65536).contains(size)));
    assert_eq!(first[20].1, 3 << 20);
    let distinct = std::collections::BTreeSet::from_iter(first.iter().map(|(_, _, etag)| etag));
    assert_eq!(distinct.len(), first.len(), "no two objects are alike");
    let other = two.bucket("other").unwrap();
    assert_eq!(other.get("000001.bin").unwrap().info.size, 0);

    run(&two, &SPEC.replace("seed: 7", "seed: 8"));
    assert!(etags(&two).iter().zip(&first).all(|(now, then)| now.2 != then.2));
}

/// md5sum of every data file under a folder.
fn md5sums(folder: &Path) -> Vec<String> {
    let find = "find \"$0\" -path '*/data/*' -type f -exec md5sum {} +";
    let files = Command::new("sh").args(["-c", find]).arg(folder).output().unwrap();
    let text = String::from_utf8(files.stdout).unwrap();
    let mut sums: Vec<String> = text.lines().map(|line| line[..32].to_owned()).collect();
    sums.sort();
    sums
}

#[test]
fn etags_are_the_md5_of_the_bytes_on_disk() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    run(&store, SPEC);
    let mut expected: Vec<String> = etags(&store).into_iter().map(|(_, _, etag)| etag).collect();
    expected.sort();
    assert_eq!(md5sums(&folder.path().join("buckets/datasets")), expected);
}

#[test]
fn the_bytes_cannot_be_compressed() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    run(&store, "{seed: 1, objects: [{url: 's3://abc/x', bytes: 1MiB, name: ''}]}");
    let packed = "find \"$0\" -path '*/data/*' -type f -exec cat {} + | gzip -9 | wc -c";
    let packed = Command::new("sh").args(["-c", packed]).arg(folder.path()).output().unwrap();
    let packed: u64 = String::from_utf8(packed.stdout).unwrap().trim().parse().unwrap();
    assert!(packed > 1 << 20, "gzip made {packed} of 1 MiB");
}

#[test]
fn a_set_is_reused_only_while_it_is_whole() {
    let folder = TempDir::new().unwrap();
    let before = {
        let store = FileStore::open(folder.path()).unwrap();
        run(&store, SPEC);
        etags(&store)
    };
    let store = FileStore::open(folder.path()).unwrap();
    assert!(run(&store, SPEC).reused);
    let mut put = store.put("datasets", "vision/shards/shard").unwrap();
    put.write(&vec![0; 3 << 20]).unwrap();
    put.finish().unwrap();
    assert!(!run(&store, SPEC).reused, "an object was overwritten");
    assert_eq!(etags(&store), before);
    assert!(run(&store, SPEC).reused);
    assert!(!run(&store, &SPEC.replace("count: 20", "count: 21")).reused);
}

#[test]
fn progress_ends_at_the_totals() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let most = Mutex::new((0, 0));
    let seen = |p: DatasetProgress| {
        let mut most = most.lock().unwrap();
        assert!(p.files <= p.files_total && p.bytes <= p.bytes_total);
        *most = (most.0.max(p.files), most.1.max(p.bytes));
    };
    let report = generate(&store, &DatasetSpec::parse(SPEC).unwrap(), &seen).unwrap();
    assert_eq!(*most.lock().unwrap(), (report.files, report.bytes));
}

#[test]
fn faults_in_a_spec_are_named() {
    let cases = [
        ("seed: 7\nobjects: []\ncolour: blue\n", &["line 3", "colour"][..]),
        (
            "seed: 7\nobjects:\n  - url: s3://abc/\n    bytes: 12 parsecs\n",
            &["line 4", "12 parsecs"],
        ),
        ("seed: 7\nobjects:\n  - url: s3://abc/\n    bytes: 2..1\n", &["line 4", "holds no size"]),
        ("seed: 7\nobjects:\n  - url: s3://abc/\n    size: 1\n", &["line 4", "size"]),
        (
            "seed: 7\nobjects:\n  - {url: s3://abc/, bytes: 1, name: 'a{}{}'}\n",
            &["line 3", "at most one"],
        ),
    ];
    for (text, expected) in cases {
        let error = DatasetSpec::parse(text).unwrap_err().to_string();
        assert!(expected.iter().all(|part| error.contains(part)), "{text}\n{error}");
    }
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let cases = [
        ("{seed: 1, objects: [{url: 'http://x', bytes: 1}]}", "write s3://bucket/prefix"),
        ("{seed: 1, objects: [{url: 's3://abc/', count: 2, bytes: 1, name: same}]}", "named twice"),
        ("{seed: 1, objects: [{url: 's3://abc/', count: 2000000, bytes: 1}]}", "too many"),
    ];
    for (text, expected) in cases {
        let refused = generate(&store, &DatasetSpec::parse(text).unwrap(), &|_| {}).unwrap_err();
        assert!(refused.to_string().contains(expected), "{text}\n{refused}");
    }
    assert!(store.buckets().is_empty(), "a refused spec makes nothing");
}
