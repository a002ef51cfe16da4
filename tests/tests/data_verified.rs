//! What a download is compared with where the store declares no checksum, and
//! what follows when there is nothing, or when the object changes. Entity tags
//! are made by coreutils' `md5sum`.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use osmo_engine::config::Access;
use osmo_engine::job::OnChange;
use osmo_engine::{
    Backoff, DownloadJob, Engine, EngineConfig, ErrorKind, IoChoice, Job, JobHandle, Report,
    RetryPolicy, UploadJob, Waits,
};
use osmo_tests::fault_server::{Call, FaultServer, Step};
use osmo_tests::{tree, under_both_drivers};

const MIB: usize = 1 << 20;
const WATCHDOG: Duration = Duration::from_secs(60);

under_both_drivers!(
    an_entity_tag_is_compared_as_an_md5,
    damage_is_fetched_once_more,
    a_tag_that_only_looks_like_an_md5_does_no_harm,
    nothing_passes_unverified_where_that_is_required,
    an_object_that_changes_is_begun_anew_where_asked,
);

struct Bench {
    server: FaultServer,
    engine: Engine,
    to: tempfile::TempDir,
    _config: tempfile::TempDir,
}

impl Bench {
    fn new(driver: &str) -> Self {
        let server = FaultServer::start("bkt").unwrap();
        let to = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config_file = folder.path().join("config.yaml");
        let entry = server.config(None);
        std::fs::write(&config_file, entry).unwrap();
        let access = Access {
            endpoint_url: Some(server.url()),
            config_file: Some(config_file),
            ..Access::default()
        };
        let backoff = Backoff { base: Duration::from_millis(1), cap: Duration::from_millis(2) };
        let retry = RetryPolicy { backoff, backoff_throttled: backoff, ..RetryPolicy::default() };
        let waits = Waits { retry, ..Waits::default() };
        let io = if driver == "uring" { IoChoice::Uring } else { IoChoice::Epoll };
        let config = EngineConfig { access, waits, io, ..EngineConfig::default() };
        let engine = Engine::start(config).unwrap();
        Self { server, engine, to, _config: folder }
    }

    fn job(&self) -> DownloadJob {
        let (remote, local) = ("s3://bkt/".to_owned(), self.to.path().to_owned());
        DownloadJob { remote, local, ..DownloadJob::default() }
    }

    fn start(&self, job: DownloadJob) -> JobHandle {
        self.engine.submit(Job::Download(job))
    }

    fn download(&self, job: DownloadJob) -> Report {
        self.start(job).wait().unwrap()
    }

    /// The file is the object.
    fn assert_arrived(&self, key: &str) {
        let there = std::fs::read(self.to.path().join(key)).unwrap();
        assert!(there == **self.server.object(key).unwrap(), "{key} has other bytes");
    }
}

/// `md5sum` of bytes.
fn md5sum(bytes: &[u8]) -> String {
    let mut child =
        Command::new("md5sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..32].to_owned()
}

/// The entity tag of an upload in parts, as S3 makes it.
fn tag_of_parts(bytes: &[u8], part_bytes: usize) -> String {
    let sums: Vec<String> = bytes.chunks(part_bytes).map(md5sum).collect();
    let outer: Vec<u8> = (0..sums.len() * 16)
        .map(|at| u8::from_str_radix(&sums.concat()[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    format!("{}-{}", md5sum(&outer), sums.len())
}

fn random(bytes: usize, seed: u64) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random");
    tree::random_file(&path, bytes as u64, seed).unwrap();
    std::fs::read(path).unwrap()
}

fn verified(report: &Report) -> Vec<(&str, u64)> {
    report.verification.verified.iter().map(|(name, count)| (*name, *count)).collect()
}

fn reasons(report: &Report) -> Vec<(&str, u64)> {
    let reasons = &report.verification.unverifiable_reasons;
    assert_eq!(reasons.values().sum::<u64>(), report.verification.unverifiable);
    reasons.iter().map(|(name, count)| (*name, *count)).collect()
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

fn an_entity_tag_is_compared_as_an_md5(driver: &str) {
    let bench = Bench::new(driver);
    let (small, odd, large) = (random(70_001, 1), random(6 * MIB + 1, 2), random(20 * MIB - 7, 3));
    bench.server.put_tagged("small", small.clone(), &md5sum(&small), None);
    bench.server.put_tagged("empty", Vec::new(), &md5sum(b""), None);
    // One request for us, two parts for whoever stored it.
    bench.server.put_tagged("odd", odd.clone(), &tag_of_parts(&odd, 5 * MIB), None);
    bench.server.put_tagged("large", large.clone(), &tag_of_parts(&large, 8 * MIB), None);
    let report = bench.download(bench.job());
    assert_eq!((verified(&report), reasons(&report)), (vec![("md5", 4)], vec![]));
    assert_eq!((report.retries, report.failures_total), (0, 0), "{:?}", report.failures);
    for key in ["small", "empty", "odd", "large"] {
        bench.assert_arrived(key);
    }
}

fn damage_is_fetched_once_more(driver: &str) {
    let bench = Bench::new(driver);
    let (small, large) = (random(70_001, 1), random(20 * MIB, 3));
    bench.server.put_tagged("small", small.clone(), &md5sum(&small), None);
    bench.server.put_tagged("large", large.clone(), &tag_of_parts(&large, 8 * MIB), None);
    bench.server.script(Call::GetWhole, "small", [Step::Corrupt(12_345)]);
    bench.server.script(Call::GetRange, "large", [Step::Ok, Step::Corrupt(77)]);
    let report = bench.download(bench.job());
    assert_eq!((verified(&report), reasons(&report)), (vec![("md5", 2)], vec![]));
    assert_eq!((report.retries, report.failures_total), (2, 0), "{:?}", report.failures);
    bench.assert_arrived("small");
    bench.assert_arrived("large");
}

fn a_tag_that_only_looks_like_an_md5_does_no_harm(driver: &str) {
    let bench = Bench::new(driver);
    let other = md5sum(b"something else");
    bench.server.put_tagged("liar", random(1_000, 1), &other, None);
    let kms = Some(("x-amz-server-side-encryption", "aws:kms"));
    bench.server.put_tagged("kms", random(1_000, 2), &other, kms);
    let customer = Some(("x-amz-server-side-encryption-customer-algorithm", "AES256"));
    bench.server.put_tagged("customer", random(20 * MIB, 3), &other, customer);
    // 17 MiB in two parts are of 10, 15 or 16 MiB.
    bench.server.put_tagged("unclear", random(17 * MIB, 4), &format!("{other}-2"), None);
    bench.server.put_tagged("opaque", random(1_000, 5), "opaque", None);
    bench.server.put_tagged("large", random(20 * MIB, 6), &other, None);
    let report = bench.download(bench.job());
    let expected = [
        ("encrypted", 2),
        ("entity-tag", 1),
        ("in-ranges", 1),
        ("no-checksum", 1),
        ("part-size", 1),
    ];
    assert_eq!((verified(&report), reasons(&report)), (vec![], expected.to_vec()));
    assert_eq!(report.failures_total, 0, "{:?}", report.failures);
    let fetched = |key: &str| {
        bench.server.seen().iter().filter(|seen| **seen == (Call::GetWhole, key.into())).count()
    };
    assert_eq!(["liar", "kms", "opaque"].map(fetched), [2, 1, 1]);
    for key in ["liar", "kms", "customer", "unclear", "opaque", "large"] {
        bench.assert_arrived(key);
    }
}

fn nothing_passes_unverified_where_that_is_required(driver: &str) {
    let bench = Bench::new(driver);
    let large = random(20 * MIB, 1);
    bench.server.put_tagged("large", large.clone(), &md5sum(&large), None);
    bench.server.put("crc", random(1_000, 2));
    bench.server.put_tagged("opaque", random(1_000, 3), "opaque", None);
    bench.server.put_tagged("unclear", random(17 * MIB, 4), "opaque", None);
    let job = DownloadJob { require_verified: true, ..bench.job() };
    let report = bench.download(job);
    assert_eq!(verified(&report), [("crc64nvme", 1), ("md5", 1)]);
    let failed: Vec<_> =
        report.failures.iter().map(|failure| (failure.name.as_str(), failure.kind)).collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    for key in ["opaque", "unclear"] {
        assert!(failed.contains(&(key, ErrorKind::Unverified)), "{failed:?}");
        assert!(!bench.to.path().join(key).exists());
    }
    assert!(report.failures[0].reason.contains("--require-verified"), "{:?}", report.failures);
    bench.assert_arrived("large");
    bench.assert_arrived("crc");
    // Not one byte of it was worth asking for.
    let asked = |seen: &(Call, String)| seen.0 == Call::GetRange && seen.1 == "unclear";
    assert!(!bench.server.seen().iter().any(asked));
}

fn an_object_that_changes_is_begun_anew_where_asked(driver: &str) {
    for on_change in [OnChange::Restart, OnChange::Error] {
        let bench = Bench::new(driver);
        bench.server.put("large", random(24 * MIB, 1));
        // Each request brings a part of a part, so that others follow.
        bench.server.always(Call::GetRange, "large", Step::Reset(MIB as u64));
        let limit_bytes_per_s = Some(16 * MIB as u64);
        let job = bench.start(DownloadJob { on_change, limit_bytes_per_s, ..bench.job() });
        let begin = Instant::now();
        while bench.server.requests(Call::GetRange) < 2 {
            assert!(begin.elapsed() < WATCHDOG, "it does not begin");
            std::thread::sleep(Duration::from_millis(1));
        }
        bench.server.put("large", random(9 * MIB, 2));
        let report = job.wait().unwrap();
        if on_change == OnChange::Restart {
            assert_eq!(verified(&report), [("crc64nvme", 1)], "{:?}", report.failures);
            bench.assert_arrived("large");
        } else {
            assert_eq!(report.failures[0].kind, ErrorKind::Changed, "{:?}", report.failures);
            assert!(is_empty(bench.to.path()));
        }
    }
}

/// The store takes the file and names no checksum of it.
#[test]
fn an_upload_that_nothing_confirms_fails_where_that_is_required() {
    let bench = Bench::new("epoll");
    let from = tempfile::tempdir().unwrap();
    std::fs::write(from.path().join("file"), "bytes").unwrap();
    let silent = || Step::Status(200, String::new());
    for required in [false, true] {
        bench.server.script(Call::Put, "file", [silent()]);
        let job = UploadJob {
            remote: "s3://bkt/".to_owned(),
            local: vec![from.path().join("file")],
            require_verified: required,
            ..UploadJob::default()
        };
        let report = bench.engine.submit(Job::Upload(job)).wait().unwrap();
        if required {
            assert_eq!(report.failures[0].kind, ErrorKind::Unverified, "{:?}", report.failures);
        } else {
            assert_eq!(reasons(&report), [("unconfirmed", 1)], "{:?}", report.failures);
        }
    }
}
