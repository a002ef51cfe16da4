#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use osmo_engine::job::Purpose;
use osmo_engine::{Error, ErrorKind, Progress, Report};
use osmo_protocol::exit::ExitCode;
use osmo_protocol::logger::LineType;
use tempfile::TempDir;
use tokio::sync::watch;

use super::ledger::Sent;
use super::{Begun, Checked, Finished, Mover, Moving, Order, Transferred, Transfers, Way};
use crate::console::Console;
use crate::flags::Flags;
use crate::logs::Log;
use crate::service::outbox::Outbox;

/// Answers each order by the last letters of its URL.
#[derive(Default)]
struct Fake {
    orders: Mutex<Vec<(Order, bool)>>,
    checks: Mutex<Vec<(String, Purpose)>>,
    at_once: Arc<AtomicU32>,
    most_at_once: Arc<AtomicU32>,
    cancelled: Arc<AtomicU32>,
}

struct FakeMoving {
    url: String,
    fake: (Arc<AtomicU32>, Arc<AtomicU32>, Arc<AtomicU32>),
}

impl Mover for Fake {
    fn submit(&self, order: &Order, way: Way) -> osmo_engine::Result<Begun> {
        self.orders.lock().unwrap().push((order.clone(), way.resume));
        let fake = (
            Arc::clone(&self.at_once),
            Arc::clone(&self.most_at_once),
            Arc::clone(&self.cancelled),
        );
        let moving = FakeMoving { url: order.url.clone(), fake };
        let finished = moving.finished();
        Ok((Box::new(moving), finished))
    }

    fn check(&self, url: &str, purpose: Purpose, _: Option<PathBuf>) -> Checked {
        self.checks.lock().unwrap().push((url.to_owned(), purpose));
        let kind = match url.rsplit('/').next() {
            Some("forbidden") => Some(ErrorKind::Denied),
            Some("away") => Some(ErrorKind::Unreachable),
            _ => None,
        };
        let answer = kind.map_or(Ok(()), |kind| Err(Error::new(kind, "no entry")));
        Box::pin(std::future::ready(answer))
    }

    fn driver(&self) -> String {
        "fake".to_owned()
    }
}

impl Moving for FakeMoving {
    fn progress(&self) -> Progress {
        Progress::default()
    }

    fn cancel(&self) {
        self.fake.2.fetch_add(1, Ordering::Relaxed);
    }
}

impl FakeMoving {
    fn finished(&self) -> Finished {
        let (url, (now, most, _)) = (self.url.clone(), self.fake.clone());
        Box::pin(async move {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::Relaxed);
            match url.rsplit('/').next() {
                Some("denied") => Err(Error::new(ErrorKind::Denied, "no entry")),
                Some("missing") => Err(Error::new(ErrorKind::NotFound, "nothing there")),
                Some("stuck") => std::future::pending().await,
                _ => Ok(Report { bytes: 5, files: 1, ..Report::default() }),
            }
        })
    }
}

struct Rig {
    root: TempDir,
    fake: Arc<Fake>,
    outbox: Arc<Outbox>,
    cancel: watch::Sender<bool>,
    sent: Arc<Sent>,
    flags: Flags,
}

impl Rig {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let flags = Flags {
            input_folder: root.path().join("input"),
            output_folder: root.path().join("output"),
            user_config: root.path().join("user.yaml"),
            service_config: root.path().join("service.yaml"),
            ..Flags::default()
        };
        std::fs::create_dir(root.path().join("output")).unwrap();
        std::fs::write(&flags.user_config, "").unwrap();
        let (outbox, cancel) = (Arc::new(Outbox::new(1000)), watch::Sender::new(false));
        Self { root, fake: Arc::default(), outbox, cancel, sent: Arc::default(), flags }
    }

    fn transfers(&self) -> Transfers {
        Transfers {
            mover: Arc::clone(&self.fake) as Arc<dyn Mover>,
            flags: Arc::new(self.flags.clone()),
            // JSON, so that the test's own output stays readable.
            log: Log::new("t", Arc::clone(&self.outbox), Console::new(true)),
            cancelled: self.cancel.subscribe(),
            resume: false,
            sent: Arc::clone(&self.sent),
            journal: Some(self.root.path().join("left-behind.jsonl")),
        }
    }

    async fn download(&self, items: &[&str]) -> Transferred {
        self.download_for(items, &[]).await
    }

    async fn download_for(&self, items: &[&str], outputs: &[&str]) -> Transferred {
        let outputs: Vec<_> = outputs.iter().map(|item| item.parse().unwrap()).collect();
        let inputs = items.iter().map(|item| item.parse().unwrap()).collect();
        self.transfers().download(inputs, &outputs).await
    }

    async fn upload(&self, items: &[&str]) -> Transferred {
        self.transfers().upload(items.iter().map(|item| item.parse().unwrap()).collect()).await
    }

    /// The lines said so far, with their origin.
    fn said(&self) -> Vec<(LineType, String)> {
        let frames = std::iter::from_fn(|| Some(self.outbox.batch()).filter(|b| !b.is_empty()));
        frames
            .flatten()
            .map(|frame| {
                let inner: String = serde_json::from_str(&frame).unwrap();
                let line: osmo_protocol::logger::Line = serde_json::from_str(&inner).unwrap();
                (line.io_type, line.text)
            })
            .collect()
    }

    fn texts(&self) -> Vec<String> {
        self.said().into_iter().map(|(_, text)| text).collect()
    }

    fn orders(&self) -> Vec<Order> {
        self.fake.orders.lock().unwrap().iter().map(|(order, _)| order.clone()).collect()
    }
}

#[tokio::test]
async fn inputs_go_into_their_folders_with_their_credentials() {
    let rig = Rig::new();
    let all = rig.download(&["task:0,s3://bkt/wf-1/t0,", "url:up,s3://b/p,.*\\.txt"]).await;
    assert_eq!((all.failure, all.moved.len()), (None, 2));
    let orders = rig.orders();
    assert_eq!(orders[0].local, rig.root.path().join("input/0"));
    assert_eq!((&orders[0].regex, &orders[0].config), (&None, &None), "no file, no credentials");
    assert_eq!(orders[1].regex.as_deref(), Some(".*\\.txt"));
    assert_eq!(orders[1].config.as_deref(), Some(rig.flags.user_config.as_path()));
    assert!(rig.root.path().join("input/up").is_dir());
    let mut said = rig.said();
    said.retain(|(origin, _)| *origin == LineType::Download);
    let texts: Vec<_> = said.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts[..3], ["Downloading Start", "Downloading t0", "Downloading s3://b/p"]);
    assert!(texts.contains(&"Downloaded t0 to {{input:0}}"));
    assert!(texts.contains(&"Downloaded s3://b/p to {{input:up}}"));
    assert_eq!(texts.last(), Some(&"All Inputs Gathered"));
}

#[tokio::test]
async fn the_first_failure_ends_a_download() {
    let rig = Rig::new();
    let all = rig.download(&["url:0,s3://b/denied", "url:1,s3://b/stuck"]).await;
    let failure = all.failure.unwrap();
    assert_eq!(failure.code, ExitCode::AccessDenied);
    assert_eq!(failure.sentence, "Cannot download s3://b/denied: no entry");
    assert_eq!(rig.fake.cancelled.load(Ordering::Relaxed), 2);
    assert!(!rig.texts().contains(&"All Inputs Gathered".to_owned()));
}

#[tokio::test]
async fn an_upload_saves_what_it_can() {
    let rig = Rig::new();
    std::fs::write(rig.root.path().join("output/m.json"), "{}").unwrap();
    let items = [
        "url:s3://b/missing,x",
        "task:s3://bkt/wf/t",
        "kpi:s3://bkt/k,m.json",
        "kpi:s3://bkt/k,none.json",
    ];
    let all = rig.upload(&items).await;
    assert_eq!((all.failure.unwrap().code, all.moved.len()), (ExitCode::Upload, 2));
    let locals: Vec<_> = rig.orders().into_iter().map(|order| order.local).collect();
    let output = |name: &str| rig.root.path().join("output").join(name);
    assert_eq!(locals, [output("*"), output("*"), output("m.json")]);
    let texts = rig.texts();
    for line in [
        "KPI file: none.json does not exist",
        "Uploaded t",
        "Uploaded KPI: m.json",
        "Uploading KPI: m.json",
    ] {
        assert!(texts.contains(&line.to_owned()), "{line} in {texts:?}");
    }
}

#[tokio::test]
async fn an_empty_output_folder_is_not_uploaded() {
    let rig = Rig::new();
    let all = rig.upload(&["url:s3://b/out,"]).await;
    assert!(all.failure.is_none() && all.moved.is_empty());
    assert_eq!(rig.texts(), ["Upload Start", "No Files in Output Folder"]);
    assert_eq!(rig.orders(), []);
}

#[tokio::test]
async fn a_few_orders_move_at_once() {
    let rig = Rig::new();
    let items: Vec<_> = (0..20).map(|number| format!("url:{number},s3://b/{number}x")).collect();
    let items: Vec<_> = items.iter().map(String::as_str).collect();
    assert_eq!(rig.download(&items).await.moved.len(), 20);
    assert_eq!(rig.fake.most_at_once.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn what_stands_still_is_begun_anew_five_times() {
    let mut rig = Rig::new();
    rig.flags.data_timeout = Duration::ZERO;
    let all = rig.download(&["url:0,s3://b/stuck"]).await;
    let failure = all.failure.unwrap();
    assert_eq!(failure.code, ExitCode::Download);
    assert!(failure.sentence.contains("(-dataTimeout)"), "{}", failure.sentence);
    let resumed: Vec<_> = rig.fake.orders.lock().unwrap().iter().map(|(_, r)| *r).collect();
    assert_eq!(resumed, [false, true, true, true, true]);
}

#[tokio::test]
async fn an_input_folder_that_cannot_be_is_told() {
    let rig = Rig::new();
    std::fs::write(rig.root.path().join("input"), "a file").unwrap();
    let failure = rig.download(&["url:0,s3://b/p"]).await.failure.unwrap();
    assert_eq!(failure.code, ExitCode::FileFailed);
    assert!(Path::new(&rig.flags.input_folder).is_file());
}

#[tokio::test]
async fn access_is_checked_in_the_service_s_words() {
    let rig = Rig::new();
    let outputs = ["url:s3://b/out,", "task:s3://bkt/wf/t", "kpi:s3://bkt/k,m.json"];
    let all = rig.download_for(&["url:0,s3://b/in", "task:1,s3://bkt/wf/u,"], &outputs).await;
    assert_eq!(all.failure, None);
    let asked = rig.fake.checks.lock().unwrap().clone();
    let wanted = [("s3://b/in", Purpose::Read), ("s3://b/out", Purpose::Write)];
    assert_eq!(asked, wanted.map(|(url, purpose)| (url.to_owned(), purpose)), "the user's alone");
    let said = rig.said().into_iter();
    let own: Vec<_> = said.filter(|(at, _)| *at == LineType::OsmoCtrl).map(|(_, t)| t).collect();
    assert_eq!(own[0], "Validating data access permissions...");
    assert_eq!(own.last().unwrap(), "All data access validations passed");
    for line in [
        "Validating READ access for URI input: s3://b/in",
        "Data auth validation successful for s3://b/in",
        "Data auth validation successful for s3://b/out",
    ] {
        assert!(own.contains(&line.to_owned()), "{line} in {own:?}");
    }
}

#[tokio::test]
async fn refused_access_is_14_and_an_absent_store_13_after_three_tries() {
    for (url, code, asked, word) in [
        ("s3://b/forbidden", ExitCode::AccessDenied, 1, "osmo credential set"),
        ("s3://b/away", ExitCode::AccessCheck, 3, "OSMO_SKIP_DATA_AUTH=1"),
    ] {
        let rig = Rig::new();
        let failure = rig.download(&[&format!("url:0,{url}")]).await.failure.unwrap();
        assert_eq!(failure.code, code);
        for word in [url, "no entry", word] {
            assert!(failure.sentence.contains(word), "no {word} in {}", failure.sentence);
        }
        assert_eq!(rig.fake.checks.lock().unwrap().len(), asked);
        let line = format!("Data auth validation failed for {url}: no entry");
        assert!(rig.texts().contains(&line));
        assert_eq!(rig.orders(), [], "nothing moves");
    }
}

#[tokio::test]
async fn what_is_cut_is_listed_and_counted() {
    let rig = Rig::new();
    let output = rig.root.path().join("output");
    std::fs::create_dir(output.join("d")).unwrap();
    for (name, size) in [("d/a.bin", 3), ("b.bin", 4), ("skip.txt", 5)] {
        std::fs::write(output.join(name), vec![0; size]).unwrap();
    }
    rig.cancel.send_replace(true);
    let all = rig.upload(&["url:s3://b/missing,.*\\.bin"]).await;
    let failure = all.failure.unwrap();
    assert_eq!(failure.code, ExitCode::Upload);
    assert!(failure.sentence.starts_with("2 files (7 B) were not uploaded, listed in "));
    assert!(failure.sentence.contains("-gracePeriod"), "{}", failure.sentence);
    let journal = std::fs::read_to_string(rig.root.path().join("left-behind.jsonl")).unwrap();
    let mut lines: Vec<serde_json::Value> =
        journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["bytes"].as_u64());
    assert_eq!(lines[0]["url"], "s3://b/missing/d/a.bin");
    assert_eq!(lines[0]["bytes"], 3);
    assert_eq!(lines[1]["path"], output.join("b.bin").display().to_string());
    assert!(lines[1]["reason"].as_str().unwrap().contains("grace period"));
    assert!(rig.texts().iter().any(|text| text.starts_with("Not uploaded: ")));
}
