//! Each way of checking an upload against the embedded store, whose protocol
//! crate decodes and checks by itself; compared by coreutils' `sha256sum`.
#![allow(clippy::unwrap_used)]

use std::fs;

use osmo_engine::config::{Access, ChecksumChoice};
use osmo_engine::{DownloadJob, Engine, EngineConfig, IoChoice, Job, UploadJob};
use osmo_tests::store::TestStore;
use osmo_tests::{tree, under_both_drivers};

under_both_drivers!(every_rung_arrives);

fn every_rung_arrives(driver: &str) {
    let io = if driver == "uring" { IoChoice::Uring } else { IoChoice::Epoll };
    let source = tempfile::tempdir().unwrap();
    for (name, bytes) in [("empty", 0), ("small", 1_000), ("middle", 1_500_000)] {
        tree::random_file(&source.path().join(name), bytes, bytes).unwrap();
    }
    tree::random_file(&source.path().join("parts"), (16 << 20) + 5, 7).unwrap();
    for choice in [
        ChecksumChoice::Auto,
        ChecksumChoice::Trailer,
        ChecksumChoice::Header,
        ChecksumChoice::ContentMd5,
        ChecksumChoice::None,
    ] {
        let store = TestStore::start("sums").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(&store, folder.path(), io, choice);
        let job = UploadJob {
            remote: "s3://sums/".to_owned(),
            local: vec![source.path().join("*")],
            ..UploadJob::default()
        };
        let report = engine.submit(Job::Upload(job)).wait().unwrap();
        assert_eq!((report.files, report.failures_total), (4, 0), "{:?}", report.failures);
        let verified: Vec<_> = report.verification.verified.into_iter().collect();
        // The store names its own CRC64NVME of whatever it is sent.
        assert_eq!(verified, [("crc64nvme", 4)], "{choice:?}");
        assert_eq!(report.retries, 0, "{choice:?}");

        let copy = tempfile::tempdir().unwrap();
        let job = DownloadJob {
            remote: "s3://sums/".to_owned(),
            local: copy.path().to_owned(),
            ..DownloadJob::default()
        };
        engine.submit(Job::Download(job)).wait().unwrap();
        let sums = tree::sha256sums(copy.path()).unwrap();
        assert_eq!(sums, tree::sha256sums(source.path()).unwrap(), "{choice:?}");
    }
}

fn engine(
    store: &TestStore,
    folder: &std::path::Path,
    io: IoChoice,
    checksum: ChecksumChoice,
) -> Engine {
    let config_file = folder.join("config.yaml");
    let access = store.access();
    let entry = format!(
        "auth: {{data: {{\"s3://sums\": {{access_key_id: {}, access_key: {}, region: us-east-1}}}}}}\n",
        access.access_key, access.secret_key
    );
    fs::write(&config_file, entry).unwrap();
    let access = Access {
        endpoint_url: Some(access.endpoint.clone()),
        config_file: Some(config_file),
        checksum,
        ..Access::default()
    };
    Engine::start(EngineConfig { io, access, ..EngineConfig::default() }).unwrap()
}
