//! A pod that must go, and one whose sidecar is killed: what is in the store
//! afterwards. Service and store live in this process, the programs are real.

#![allow(clippy::unwrap_used)]

#[path = "pod_faults/pod.rs"]
mod pod;

use std::time::Duration;

use osmo_tests::fault_server::{Call, Step};
use pod::{Pod, code, signal};
use serde_json::Value;

/// Two parts.
const BIG_BYTES: u64 = 17 << 20;

fn times(pod: &Pod, call: Call, name: &str) -> usize {
    pod.store.seen().iter().filter(|(seen, key)| *seen == call && key.ends_with(name)).count()
}

/// The sidecar can read what the command cannot; a link must not make it carry
/// that out.
#[tokio::test]
async fn a_link_in_the_outputs_brings_no_secret_out() {
    let pod = Pod::new().await;
    std::fs::write(pod.path("input/own"), "an input").unwrap();
    let (token, config) = (pod.path("token"), pod.path("config.yaml"));
    let outputs = ["-outputs", "url:s3://bkt/out,", "-outputs", "kpi:s3://bkt/kpi,config"];
    let mut ctrl = pod.ctrl(&outputs);
    let script = format!(
        "ln -s {} token; ln -s {} config; ln -s {} own; ln -s / root; echo fine >fine",
        token.display(),
        config.display(),
        pod.path("input/own").display()
    );
    let mut exec = pod.exec(&script);
    assert_eq!(code(&mut exec).await, Some(0));
    assert_eq!(code(&mut ctrl).await, Some(12));
    assert_eq!(pod.store.keys(), ["out/fine", "out/own"]);
    assert_eq!(**pod.store.object("out/own").unwrap(), *b"an input");
    let message = pod.message();
    assert!(message.contains("leads out of"), "{message}");
    pod.assert_over(12).await;
}

/// Thirty small files, and one of two parts that the store never takes.
#[tokio::test]
async fn in_the_grace_period_small_files_arrive_and_the_big_one_is_listed() {
    let pod = Pod::new().await;
    pod.store.always(Call::UploadPart, "big", Step::Stall);
    let mut ctrl = pod.ctrl(&["-outputs", "url:s3://bkt/out,", "-gracePeriod", "8"]);
    let script = format!(
        "truncate -s {BIG_BYTES} a-big; mkdir d; for n in $(seq 30); do echo $n > d/$n; done; \
         trap 'echo saved > last; exit 0' TERM; touch {}; while :; do sleep 0.05; done",
        pod.path("ready").display()
    );
    let mut exec = pod.exec(&script);
    pod.until("the command is ready", |pod| pod.path("ready").exists()).await;
    signal(&ctrl, rustix::process::Signal::TERM);
    assert_eq!(code(&mut ctrl).await, Some(40));
    assert_eq!(code(&mut exec).await, Some(0), "the command ended by itself");

    let mut keys = pod.store.keys();
    keys.sort();
    let mut wanted: Vec<String> = (1..=30).map(|n| format!("out/d/{n}")).collect();
    wanted.push("out/last".to_owned());
    wanted.sort();
    assert_eq!(keys, wanted);
    let first_big = pod.store.seen().iter().position(|(call, _)| *call == Call::Create);
    assert!(first_big.is_some(), "it was tried");
    let told = pod.termination();
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("1 files (17.0 MiB) were not uploaded"), "{message}");
    let journal = std::fs::read_to_string(pod.path("socket/ctrl/left-behind.jsonl")).unwrap();
    let entry: Value = serde_json::from_str(&journal).unwrap();
    assert_eq!((&entry["url"], &entry["bytes"]), (&"s3://bkt/out/a-big".into(), &BIG_BYTES.into()));
    pod.assert_over(40).await;
}

/// The store answers no abort: what it may keep is named, within the time.
#[tokio::test]
async fn an_upload_that_cannot_be_aborted_in_the_grace_period_is_listed() {
    let pod = Pod::new().await;
    pod.store.always(Call::UploadPart, "big", Step::Stall);
    pod.store.always(Call::Abort, "big", Step::Stall);
    let mut ctrl = pod.ctrl(&["-outputs", "url:s3://bkt/out,", "-gracePeriod", "8"]);
    let mut exec = pod.exec(&format!("truncate -s {BIG_BYTES} big"));
    pod.until("the upload has begun", |pod| pod.has_seen(Call::UploadPart, "big")).await;
    signal(&ctrl, rustix::process::Signal::TERM);
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(12), Some(0)));
    assert!(pod.has_seen(Call::Abort, "big"));
    let left = pod.summary().left_behind;
    let [upload] = &left[..] else { panic!("{left:?}") };
    assert_eq!((&*upload.bucket, &*upload.key), ("bkt", "out/big"));
    let message = pod.message();
    let counted = "1 files (17.0 MiB) were not uploaded and the store may keep 1 unfinished upload";
    assert!(message.contains(counted), "{message}");
    let journal = std::fs::read_to_string(pod.path("socket/ctrl/left-behind.jsonl")).unwrap();
    let entries: Vec<Value> =
        journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries[0]["url"], "s3://bkt/out/big");
    assert_eq!(entries[1]["upload_id"], *upload.upload_id);
    pod.assert_gone(12).await;
}

/// Two outputs go on when SIGTERM comes in the middle of an upload.
#[tokio::test]
async fn sigterm_in_an_upload_gives_it_the_time_that_is_left() {
    let pod = Pod::new().await;
    pod.store.script(Call::Put, "slow", [Step::Slow(Duration::from_millis(800))]);
    let mut ctrl = pod.ctrl(&["-outputs", "task:s3://bkt/out", "-gracePeriod", "30"]);
    let mut exec = pod.exec("echo much more than the others > slow; echo 1 > a");
    pod.until("the upload has begun", |pod| pod.has_seen(Call::Put, "slow")).await;
    signal(&ctrl, rustix::process::Signal::TERM);
    assert_eq!(code(&mut ctrl).await, Some(0));
    assert_eq!(code(&mut exec).await, Some(0));
    assert_eq!(pod.store.keys(), ["out/a", "out/slow"]);
    assert_eq!(pod.termination(), serde_json::json!({"code": 0}));
    pod.assert_over(0).await;
}

/// What the store has is not sent again, what it has not is.
#[tokio::test]
async fn a_sidecar_killed_in_an_upload_sends_the_rest() {
    let pod = Pod::new().await;
    let outputs = ["-outputs", "task:s3://bkt/out"];
    pod.store.script(Call::UploadPart, "stuck", [Step::Stall]);
    let mut ctrl = pod.ctrl(&outputs);
    let script = format!("for n in 1 2 3 4; do echo > $n; done; truncate -s {BIG_BYTES} stuck");
    let mut exec = pod.exec(&script);
    pod.until("a big file is under way", |pod| pod.has_seen(Call::UploadPart, "stuck")).await;
    pod.until("the others are there", |pod| pod.store.keys().len() == 4).await;
    // The store's answer is one thing, the sidecar's note of it another.
    let noted = |pod: &Pod| std::fs::metadata(pod.path("socket/ctrl/sent")).unwrap().len();
    pod.until("the sidecar knows", |pod| noted(pod) == 4 * 16).await;
    assert_eq!(code(&mut exec).await, Some(0));
    ctrl.kill().await.unwrap();
    let mut ctrl = pod.ctrl(&outputs);
    assert_eq!(code(&mut ctrl).await, Some(0));
    assert_eq!(pod.store.keys(), ["out/1", "out/2", "out/3", "out/4", "out/stuck"]);
    for name in ["/1", "/2", "/3", "/4"] {
        assert_eq!(times(&pod, Call::Put, name), 1, "{name}");
    }
    assert!(!pod.path("socket/ctrl").exists(), "no state is left of a task that ended");
    // What the killed one had begun stays begun in the store.
    pod.assert_gone(0).await;
}

#[tokio::test]
async fn a_sidecar_killed_in_a_download_downloads_again() {
    let pod = Pod::new().await;
    // The agent is started anew too; the token is for one.
    std::fs::remove_file(pod.path("socket/handoff")).unwrap();
    pod.store.put("in/first", b"one".to_vec());
    pod.store.put("in/stuck", b"two".to_vec());
    for call in [Call::GetWhole, Call::GetRange] {
        pod.store.script(call, "stuck", [Step::Stall]);
    }
    let inputs = ["-inputs", "task:0,s3://bkt/in,"];
    let mut ctrl = pod.ctrl(&inputs);
    let mut exec = pod.exec("true");
    let first = pod.path("input/0/first");
    pod.until("one of two is there", |_| first.exists()).await;
    pod.until("the other is under way", |pod| {
        pod.has_seen(Call::GetWhole, "stuck") || pod.has_seen(Call::GetRange, "stuck")
    })
    .await;
    ctrl.kill().await.unwrap();
    let _ = exec.kill().await;
    let mut ctrl = pod.ctrl(&inputs);
    let mut exec = pod.exec("cat ../input/0/first ../input/0/stuck > /dev/null");
    assert_eq!(code(&mut exec).await, Some(0));
    assert_eq!(code(&mut ctrl).await, Some(0));
    assert_eq!(std::fs::read(&first).unwrap(), b"one");
    assert_eq!(std::fs::read(pod.path("input/0/stuck")).unwrap(), b"two");
    pod.assert_over(0).await;
}

/// Half a minute: a file has to stand still in two walks of the folder.
#[tokio::test]
#[ignore = "cargo test -p osmo-tests --test pod_life -- --ignored"]
async fn early_uploads_end_as_a_plain_one_does() {
    let pod = Pod::new().await;
    let mut ctrl = pod.ctrl(&["-outputs", "url:s3://bkt/out,", "-uploadEarly"]);
    let script = format!(
        "echo still > still; echo first > changed; until [ -e {} ]; do sleep 0.1; done; \
         echo second > changed; echo new > new",
        pod.path("gate").display()
    );
    let mut exec = pod.exec(&script);
    pod.until("both went early", |pod| pod.store.keys().len() == 2).await;
    assert_eq!(pod.store.object("out/changed").unwrap().as_slice(), b"first\n");
    std::fs::write(pod.path("gate"), "").unwrap();
    assert_eq!(code(&mut exec).await, Some(0));
    assert_eq!(code(&mut ctrl).await, Some(0));
    for (key, text) in [("still", "still\n"), ("changed", "second\n"), ("new", "new\n")] {
        assert_eq!(pod.store.object(&format!("out/{key}")).unwrap().as_slice(), text.as_bytes());
    }
    assert_eq!(times(&pod, Call::Put, "/still"), 1, "sent once");
    assert_eq!(times(&pod, Call::Put, "/changed"), 2);
    pod.assert_over(0).await;
}
