//! A whole life: inputs, lines, a terminal, a port, files, outputs.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use osmo_tests::store::TestStore;
use osmo_tests::tree::random_file;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Bench;
use super::case::{Bar, Measure};
use super::forward::{forward, serve};
use super::lines;
use super::peak::Peak;
use super::place::{Ground, More, send};
use super::terminal::shows;

const MIB: u64 = 1 << 20;
/// In and out.
const FILES: u64 = 16;
const FILE_BYTES: u64 = 64 * MIB;
const LINES: u64 = 100_000;
const SESSION_BYTES: u64 = 32 * MIB;
const BAR: Bar = Bar::AtMost(64.0);

pub(super) async fn run(bench: &Bench) -> Result<Vec<Measure>> {
    let (mut ctrl, mut exec, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let life = life(bench).await?;
        ctrl.push(life[0]);
        exec.push(life[1]);
        seconds.push(life[2]);
    }
    let gib = (FILES * bench.scaled(FILE_BYTES)) as f64 / (1u64 << 30) as f64;
    let count = bench.scaled(LINES);
    let title = format!("{gib:.2} GiB in and out, {count} lines, three sessions");
    Ok(vec![
        Measure::new(&format!("{title}: osmo-ctrl, peak"), "MiB", ctrl).bar(BAR),
        Measure::new(&format!("{title}: osmo-exec, peak"), "MiB", exec),
        Measure::new(&format!("{title}: in all"), "s", seconds),
    ])
}

/// Peaks of sidecar and agent, and seconds.
async fn life(bench: &Bench) -> Result<[f64; 3]> {
    let ground = Ground::new(bench).await?;
    let store = TestStore::start("bkt")?;
    let (file_bytes, count) = (bench.scaled(FILE_BYTES), bench.scaled(LINES));
    for number in 0..FILES {
        let path = ground.path("source");
        random_file(&path, file_bytes, number + 1)?;
        store.put_file("bkt", &format!("in/{number}"), &path)?;
        fs::remove_file(path)?;
    }
    let access = store.access();
    let config = format!(
        "auth: {{data: {{s3://bkt: {{access_key_id: {}, access_key: {}, region: us-east-1, \
         override_url: '{}', addressing_style: path}}}}}}",
        access.access_key, access.secret_key, access.endpoint
    );
    fs::write(ground.path("config.yaml"), config)?;
    fs::write(ground.path("lines"), lines::file(count))?;
    random_file(&ground.path("tree/big"), bench.scaled(SESSION_BYTES), 9)?;
    let root = ground.folder.path().display().to_string();
    let script = format!(
        "echo up; until [ -e {root}/go ]; do sleep 0.01; done; cat {root}/lines; find {root}/input -type f -exec cp {{}} {root}/output/ \\; ; \
         until [ -e {root}/over ]; do sleep 0.05; done; echo last"
    );
    let more = More {
        ctrl: &["-inputs", "task:0,s3://bkt/in,", "-outputs", "url:s3://bkt/out,"],
        exec: &["-enableRsync", "-rsyncPort", "0"],
        port: None,
    };
    let begin = Instant::now();
    let pod = ground.start(&script, &more)?;
    let peak = |id: Option<u32>| id.map(Peak::watch).context("it lives");
    let (ctrl, exec) = (peak(pod.ctrl.id())?, peak(pod.exec.id())?);
    pod.says("up").await?;
    // The service keeps the last lines only: that word would be gone.
    fs::write(pod.ground.path("go"), "")?;

    let mut terminal = pod.terminal("sh -c 'stty -echo; echo ready; exec cat'").await?;
    shows(&mut terminal, "ready").await?;
    send(&mut terminal, b"hello\n").await?;
    shows(&mut terminal, "hello").await?;
    let (tunnel, port) = forward(&pod, serve()?).await?;
    through(port, bench.scaled(SESSION_BYTES)).await?;
    let mut copy = pod.ground.osmo(&["rsync", "upload"]);
    let output = copy.arg("tree/:up").stderr(Stdio::piped()).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    drop((terminal, tunnel));

    fs::write(pod.ground.path("over"), "")?;
    pod.end().await?;
    let seconds = begin.elapsed().as_secs_f64();
    for number in 0..FILES {
        let there = store.files().bucket("bkt")?.get(&format!("out/{number}"))?.info.size;
        ensure!(there == file_bytes, "out/{number} has {there} bytes");
    }
    Ok([ctrl.mib(), exec.mib(), seconds])
}

/// `bytes` to an echo in the task and back, 64 KiB at a time.
async fn through(port: u16, bytes: u64) -> Result<()> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let block = vec![7; 64 << 10];
    let mut head = [b'e'; 9];
    head[1..].copy_from_slice(&(block.len() as u64).to_be_bytes());
    let mut back = vec![0; block.len()];
    for _ in 0..bytes.div_ceil(block.len() as u64) {
        stream.write_all(&head).await?;
        stream.write_all(&block).await?;
        stream.read_exact(&mut back).await?;
        ensure!(back == block, "other bytes came back");
    }
    Ok(())
}
