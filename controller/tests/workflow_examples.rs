//! The five workflows of the format's description, and those in `examples/`.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::Duration;

use osmo_controller::workflow::model::{Contents, ExitAction, InputSource, Task};
use osmo_controller::workflow::tokens::{TokenTable, resolve, workflow_id};
use osmo_controller::workflow::{LoadOptions, Loaded, load, unsupported_here};

fn example(name: &str) -> Loaded {
    let strict = LoadOptions { strict: true, ..LoadOptions::default() };
    load(&common::fixture(name), &strict).unwrap_or_else(|faults| panic!("{faults}"))
}

fn task(loaded: &Loaded, group: usize, task: usize) -> &Task {
    &loaded.workflow.groups[group].tasks[task]
}

fn table(id: &str, inputs: &[&str]) -> TokenTable {
    TokenTable {
        workflow_id: id.to_owned(),
        output: "/osmo/data/output".to_owned(),
        inputs: inputs.iter().map(|&input| input.to_owned()).collect(),
        hosts: vec![("collect".to_owned(), "127.0.0.1".to_owned())],
    }
}

fn words(texts: &[osmo_controller::workflow::model::Text]) -> Vec<&str> {
    texts.iter().map(|text| text.text.as_str()).collect()
}

#[test]
fn hello() {
    let loaded = example("hello.yaml");
    assert_eq!(loaded.workflow.name, "hello-one");
    assert_eq!(loaded.workflow.groups[0].name, "greet-group");
    let greet = task(&loaded, 0, 0);
    assert!(greet.lead);
    assert_eq!(greet.image, "busybox:1.36");
    assert_eq!(words(&greet.command), ["sh", "-c"]);
    let greet = resolve(greet, &table(&workflow_id("hello-one", 3), &[]));
    assert_eq!(
        words(&greet.args),
        ["echo \"run hello-one-3\" | tee /osmo/data/output/greeting.txt"]
    );
}

#[test]
fn urls_and_variables() {
    let loaded = example("count.yaml");
    assert_eq!(loaded.workflow.name, "count-csv");
    assert_eq!(loaded.workflow.exec_timeout, Some(Duration::from_secs(900)));
    let count = task(&loaded, 0, 0);
    assert_eq!(count.resources.cpu, Some(2));
    assert_eq!(count.resources.memory_bytes, Some(2 << 30));
    assert_eq!(count.resources.storage_bytes, Some(10 << 30));
    let count = resolve(count, &table("count-csv-1", &["/osmo/data/input/0"]));
    assert_eq!(count.environment[0].0.text, "PATTERN");
    assert_eq!(count.environment[0].1.text, "*.csv");
    let InputSource::Url(url) = &count.inputs[0].source else { panic!("a url") };
    assert_eq!(url.text, "s3://example-bucket/demo/raw/");
    assert_eq!(count.inputs[0].regex.text, ".*\\.csv$");
    assert_eq!(count.outputs[0].url.text, "s3://example-bucket/demo/counts/count-csv-1/");
    assert_eq!(count.files[0].path.text, "/opt/job/count.sh");
    assert_eq!(
        count.files[0].contents.as_bytes(),
        b"set -eu\nfind /osmo/data/input/0 -name \"$PATTERN\" -exec wc -l {} + > \
          /osmo/data/output/lines.txt\n"
    );
}

#[test]
fn two_tasks_chained() {
    let loaded = example("chain.yaml");
    assert_eq!(loaded.workflow.groups[0].needs, Vec::<usize>::new());
    assert_eq!(loaded.workflow.groups[1].needs, [0]);
    let sum = task(&loaded, 1, 0);
    assert_eq!(sum.inputs[0].source, InputSource::Task { workflow: None, name: "make".to_owned() });
    let sum = resolve(sum, &table("chain-1", &["/in/0"]));
    assert_eq!(
        words(&sum.args),
        ["awk '{s += $1} END {print s}' /in/0/numbers.txt > /osmo/data/output/sum.txt"]
    );
}

#[test]
fn group_with_lead_and_barrier() {
    let loaded = example("pair.yaml");
    let group = &loaded.workflow.groups[0];
    assert!(group.barrier && !group.ignore_nonlead_status);
    assert_eq!(group.lead().unwrap().name, "collect");
    let send = resolve(task(&loaded, 0, 1), &table("pair-1", &[]));
    assert_eq!(words(&send.args), ["sleep 2; echo 42 | nc -w 30 127.0.0.1 9100"]);
    let refused = unsupported_here(&loaded.workflow, Path::new("pair.yaml"));
    assert_eq!(
        refused[0].to_string(),
        "pair.yaml:4:5: group talk has 2 tasks; this runner runs groups of one task; put each \
         task into a group of its own, or submit the file to a service"
    );
}

#[test]
fn checkpoint_and_kpi() {
    let loaded = example("train.yaml");
    let train = task(&loaded, 0, 0);
    assert_eq!(train.resources.gpu, Some(1));
    assert_eq!(train.checkpoints[0].frequency, Duration::from_secs(30));
    assert_eq!(train.kpis[0].index, "accuracy");
    assert_eq!(train.exit_actions.action(0), ExitAction::Complete);
    assert_eq!(train.exit_actions.action(137), ExitAction::Fail);
    let train = resolve(train, &table("train-small-9", &[]));
    assert_eq!(train.checkpoints[0].path.text, "/osmo/data/output/ckpt");
    assert_eq!(train.checkpoints[0].url.text, "s3://example-bucket/ckpt/train-small-9");
    let Contents::Text(script) = &train.files[0].contents else { panic!("text") };
    assert!(script.text.contains("open(f\"/osmo/data/output/ckpt/step{step}.pt\", \"wb\")"));
}

#[test]
fn the_shipped_examples_are_strictly_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for name in ["hello.yaml", "train.yaml", "chain.yaml", "files.yaml"] {
        let strict = LoadOptions { strict: true, ..LoadOptions::default() };
        let loaded = load(&folder.join(name), &strict).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(unsupported_here(&loaded.workflow, Path::new(name)), [], "{name}");
    }
}
