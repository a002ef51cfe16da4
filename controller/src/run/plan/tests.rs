//! Items as the service renders them: expected texts are those of a recorded
//! pod (`wf-1`), with the runner's bucket.

#![allow(clippy::unwrap_used)]

use super::{inputs, outputs, urls};
use crate::workflow::model::Workflow;
use crate::workflow::{LoadOptions, load};

const TEXT: &str = r"
workflow:
  name: wf
  tasks:
  - name: t0
    image: busybox
    command: [a]
    outputs:
    - url: s3://b/out
    kpis:
    - index: figures
      path: deep/metrics/kpi.json
  - name: t1
    image: busybox
    command: [b]
    inputs:
    - task: t0
    - url: s3://b/p
      regex: .*\.txt
    - url: s3://c/{{workflow_id}}/x
  - name: t2
    image: busybox
    command: [c]
    outputs:
    - url: s3://b/last
      regex: a,b
";

fn workflow() -> Workflow {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wf.yaml");
    std::fs::write(&file, TEXT).unwrap();
    load(&file, &LoadOptions::default()).unwrap().workflow
}

#[test]
fn inputs_keep_their_position() {
    let workflow = workflow();
    assert_eq!(
        inputs("wf-1", &workflow.groups[1].tasks[0])[..2],
        ["task:0,s3://osmo-tasks/wf-1/t0,", r"url:1,s3://b/p,.*\.txt"]
    );
}

#[test]
fn a_task_that_others_need_leaves_its_outputs_for_them_first() {
    let workflow = workflow();
    let group = &workflow.groups[0];
    assert_eq!(
        outputs("wf-1", &workflow, group, &group.tasks[0]),
        [
            "task:s3://osmo-tasks/wf-1/t0",
            "kpi:s3://osmo-tasks/wf-1/t0/deep/metrics,deep/metrics/kpi.json",
            "url:s3://b/out,",
        ]
    );
}

#[test]
fn a_task_without_outputs_keeps_them_and_one_with_outputs_does_not() {
    let workflow = workflow();
    let of = |index: usize| {
        let group = &workflow.groups[index];
        outputs("wf-1", &workflow, group, &group.tasks[0])
    };
    assert_eq!(of(1), ["task:s3://osmo-tasks/wf-1/t1"]);
    assert_eq!(of(2), ["url:s3://b/last,a,b"]);
}

#[test]
fn urls_have_their_tokens_resolved() {
    assert_eq!(
        urls(&workflow(), "wf-7"),
        ["s3://b/out", "s3://b/p", "s3://c/wf-7/x", "s3://b/last"]
    );
}
