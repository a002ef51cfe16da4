//! `osmo rsync` through every hop, beside the same rsync and the same daemon on
//! loopback.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use osmo_tests::pod::listening_port;
use osmo_tests::tree::random_file;
use tokio::process::Command;

use super::Bench;
use super::case::{Bar, Measure};
use super::place::{Ground, More, Pod, until};

const BYTES: u64 = 512 << 20;
const BAR: Bar = Bar::AtLeast(0.5);

pub(super) async fn run(bench: &Bench) -> Result<Vec<Measure>> {
    let bytes = bench.scaled(BYTES);
    let ground = Ground::new(bench).await?;
    random_file(&ground.path("tree/big"), bytes, 3)?;
    let exec = ["-enableRsync", "-rsyncPort", "0"];
    let pod = ground.waiting(&More { exec: &exec, ..More::default() }).await?;
    until("the rsync daemon listens", || daemon_port(&pod).is_some()).await?;
    let url = format!("rsync://127.0.0.1:{}/osmo", daemon_port(&pod).context("it listens")?);

    let (tree, workspace) = (pod.ground.path("tree/"), pod.ground.path("run/workspace"));
    let (direct, hops) = (workspace.join("direct"), workspace.join("hops"));
    let (back, here) = (pod.ground.path("back"), pod.ground.path("here"));
    let up = bench
        .turns(
            async || copy(&mut rsync(&pod, "upload", "tree/:hops"), &hops, bytes).await,
            async || {
                let mut command = Command::new("rsync");
                command.arg("-a").arg(&tree).arg(format!("{url}/direct/"));
                copy(&mut command, &direct, bytes).await
            },
        )
        .await?;
    let down = bench
        .turns(
            async || copy(&mut rsync(&pod, "download", "hops/:back"), &back, bytes).await,
            async || {
                let mut command = Command::new("rsync");
                command.arg("-a").arg(format!("{url}/direct/")).arg(&here);
                copy(&mut command, &here, bytes).await
            },
        )
        .await?;
    pod.over().await?;
    let mut measures = Vec::new();
    for (name, (ours, bare)) in [("upload", up), ("download", down)] {
        let title = format!("osmo rsync {name}, beside loopback");
        measures.push(Measure::ratio(&title, &ours, &bare).bar(BAR));
        measures.push(Measure::new(&format!("osmo rsync {name}"), "GiB/s", ours));
        measures.push(Measure::new(&format!("rsync on loopback, {name}"), "GiB/s", bare));
    }
    Ok(measures)
}

fn rsync(pod: &Pod, verb: &str, paths: &str) -> Command {
    let mut command = pod.ground.osmo(&["rsync", verb]);
    command.arg(paths);
    command
}

/// GiB a second into an empty `target`.
async fn copy(command: &mut Command, target: &Path, bytes: u64) -> Result<f64> {
    let _ = fs::remove_dir_all(target);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begin = Instant::now();
    let output = command.output().await.context("is rsync installed?")?;
    let seconds = begin.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "rsync ends with {}: {}", output.status, said.trim());
    let there = fs::metadata(target.join("big")).context("the file is not there")?.len();
    ensure!(there == bytes, "{there} bytes arrived, not {bytes}");
    Ok(bytes as f64 / f64::from(1 << 30) / seconds)
}

/// Where the agent listens: its only socket of that kind.
fn daemon_port(pod: &Pod) -> Option<u16> {
    listening_port(pod.exec.id()?)
}
