//! A volume that is full, really: a small tmpfs in a mount namespace of the
//! pod's. The table in `docs/OPERATIONS.md` names these tests.

#![allow(clippy::unwrap_used)]

#[path = "pod_disk/disk.rs"]
mod disk;
#[path = "pod_faults/pod.rs"]
mod pod;

use disk::Disk;
use osmo_tests::skip::skip;
use pod::{Pod, code};

const INPUTS: [&str; 2] = ["-inputs", "task:0,s3://bkt/in,"];
const OUTPUTS: [&str; 2] = ["-outputs", "task:s3://bkt/out"];
const MIB: usize = 1 << 20;

/// The pod with 1 MiB at `folder`; `None` where nobody may mount.
async fn with_disk(folder: &str) -> Option<(Pod, Disk)> {
    let pod = Pod::new().await;
    std::fs::create_dir_all(pod.path(folder)).unwrap();
    match Disk::mount(&pod.path(folder), "1m") {
        Ok(disk) => Some((pod, disk)),
        Err(reason) => {
            skip(&reason);
            None
        }
    }
}

#[tokio::test]
async fn inputs_that_do_not_fit_are_10_with_the_cause() {
    let Some((pod, disk)) = with_disk("input").await else { return };
    pod.store.put("in/small", vec![7; 1000]);
    pod.store.put("in/big", vec![7; 2 * MIB]);
    let mut ctrl = pod.spawn_ctrl(&mut disk.within(&pod.ctrl_command(&INPUTS)));
    let mut exec = pod.exec("echo never");
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(10), Some(0)));
    let message = pod.message();
    assert!(message.contains("s3://bkt/in") && message.contains("No space left"), "{message}");
    pod.assert_over(10).await;
}

/// The command fills the disk and fails; what is there is saved.
#[tokio::test]
async fn a_command_that_fills_the_disk_has_saved_what_is_there() {
    let Some((pod, disk)) = with_disk("output").await else { return };
    let mut ctrl = pod.spawn_ctrl(&mut disk.within(&pod.ctrl_command(&OUTPUTS)));
    let script = format!(
        "cd {} && echo kept > kept && dd if=/dev/zero of=big bs=4096 count=512",
        pod.path("output").display()
    );
    let mut exec = pod::spawn(&mut disk.within(&pod.exec_command(&script)));
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(0), Some(1)));
    assert_eq!(pod.store.keys(), ["out/big", "out/kept"]);
    assert_eq!(pod.store.object("out/kept").unwrap().as_slice(), b"kept\n");
    let told = pod.service.logs(&pod.key);
    assert!(told.iter().any(|line| line.text.contains("No space left")), "{told:?}");
    pod.assert_over(0).await;
}

/// Nothing can be noted: neither the state, nor what was sent, nor the list of
/// what is left behind. One line says so, and the task goes on.
#[tokio::test]
async fn a_full_disk_for_the_state_costs_the_task_nothing() {
    let Some((pod, disk)) = with_disk("state").await else { return };
    assert!(disk.fill(&pod.path("state/filler")), "it can be filled");
    let place = pod.path("state/ctrl").display().to_string();
    let errors = pod.path("stderr");
    let args = [&OUTPUTS[..], &["-statePath", &place, "-logsPeriod", "1"]].concat();
    let mut command = disk.within(&pod.ctrl_command(&args));
    let mut ctrl = pod.spawn_ctrl_telling(&mut command, &errors);
    let mut exec = pod.exec("echo 1 > made; seq 2000");
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(0), Some(0)));
    assert_eq!(pod.store.keys(), ["out/made"]);
    let said = std::fs::read_to_string(&errors).unwrap();
    let lines = said.lines().filter(|line| line.contains("No space left")).count();
    assert_eq!(lines, 1, "{said}");
    pod.assert_over(0).await;
}
