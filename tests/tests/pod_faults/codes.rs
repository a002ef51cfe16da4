//! Each exit code that a fault of the task, its command line or its store leads
//! to: the process ends with it, the termination log holds it with a sentence,
//! and the sentence is in the task's log. 21, 22 and 40 are tried where the
//! service and the pod are at fault: `pod_outage`, `pod_life`, and the sidecar's
//! own tests.

use osmo_tests::fault_server::{Call, Step};

use crate::pod::{Pod, code};

/// As S3 words it.
fn denied() -> Step {
    Step::Status(403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>".into())
}

/// What no retry mends.
fn refused() -> Step {
    Step::Status(400, "<Error><Code>InvalidRequest</Code><Message>no</Message></Error>".into())
}

/// Runs a pod whose command leaves an output; gives what the sidecar said last.
async fn ends(wanted: u8, prepare: impl Fn(&Pod), args: &[&str], words: &[&str]) -> Pod {
    let pod = Pod::new().await;
    pod.store.put("in/file", "data");
    prepare(&pod);
    let mut ctrl = pod.ctrl(args);
    let mut exec = pod.exec("echo x > file");
    let ended = (code(&mut ctrl).await, code(&mut exec).await);
    let told = pod.termination();
    assert_eq!(ended, (Some(i32::from(wanted)), Some(0)), "{told}");
    assert_eq!(told["code"], wanted);
    assert_eq!(told.as_object().unwrap().len(), 2, "code and message: {told}");
    for word in words {
        assert!(pod.message().contains(word), "no {word:?} in {told}");
    }
    pod
}

/// The sentence reached the user too.
fn assert_logged(pod: &Pod) {
    let (message, lines) = (pod.message(), pod.service.logs(&pod.key));
    assert!(lines.iter().any(|line| line.text.contains(&message)), "{message} in {lines:#?}");
}

const NOTHING: fn(&Pod) = |_| {};

#[tokio::test]
async fn an_input_that_is_not_there_is_10() {
    let args = ["-inputs", "task:0,s3://bkt/nope,"];
    assert_logged(&ends(10, NOTHING, &args, &["s3://bkt/nope"]).await);
}

#[tokio::test]
async fn an_output_that_the_store_does_not_take_is_12() {
    let refuse = |pod: &Pod| pod.store.always(Call::Put, "file", refused());
    let args = ["-outputs", "task:s3://bkt/out"];
    assert_logged(&ends(12, refuse, &args, &["s3://bkt/out"]).await);
}

#[tokio::test]
async fn a_check_of_a_store_that_is_not_there_is_13() {
    let away = |pod: &Pod| {
        let config = pod.store.config(Some("http://127.0.0.1:1"));
        std::fs::write(pod.path("config.yaml"), config).unwrap();
    };
    let args = ["-inputs", "url:0,s3://bkt/in,"];
    let words = ["s3://bkt/in", "127.0.0.1:1", "OSMO_SKIP_DATA_AUTH=1"];
    assert_logged(&ends(13, away, &args, &words).await);
}

#[tokio::test]
async fn access_that_is_denied_is_14() {
    let deny = |pod: &Pod| {
        for call in [Call::List, Call::Head, Call::HeadBucket, Call::GetWhole, Call::GetRange] {
            pod.store.always(call, "", denied());
        }
    };
    // A user's URL is checked first, the workflow's own storage is not.
    for input in ["url:0,s3://bkt/in,", "task:0,s3://bkt/in,"] {
        let pod = ends(14, deny, &["-inputs", input], &["s3://bkt/in"]).await;
        assert_logged(&pod);
    }
}

#[tokio::test]
async fn a_token_that_is_not_the_task_s_is_20() {
    let wrong = |pod: &Pod| std::fs::write(pod.path("token"), "x".repeat(43)).unwrap();
    ends(20, wrong, &[], &["refresh token is invalid"]).await;
}

#[tokio::test]
async fn what_cannot_be_understood_is_30() {
    for (args, word) in [
        (["-inputs", "task:0"], "task:0"),
        (["-outputs", "kpi:s3://bkt/k"], "kpi:s3://bkt/k"),
        (["-inputs", "url:0,s3://bkt/in,("], "("),
    ] {
        assert_logged(&ends(30, NOTHING, &args, &[word]).await);
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_32() {
    let block = |pod: &Pod| std::fs::write(pod.path("input/0"), "a file").unwrap();
    let args = ["-inputs", "task:0,s3://bkt/in,"];
    assert_logged(&ends(32, block, &args, &["input/0"]).await);
}
