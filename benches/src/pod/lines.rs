//! Lines of a command, in order, until the service has them; beside a bare
//! client that sends the same frames, and on the wire.

use std::process::Child;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use osmo_controller::service::ServiceEvent;
use osmo_protocol::logger::logger_path;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::Bench;
use super::bare::frame;
use super::case::{Bar, Measure};
use super::place::{Ground, More, PATIENCE};
use super::relay::Relay;

const LINES: u64 = 100_000;
const RATE: Bar = Bar::AtLeast(0.5);
const WIRE: Bar = Bar::AtMost(1.5);

/// A line of a training's log, of some hundred characters.
pub(super) fn text(number: u64) -> String {
    format!(
        "{number} step={number} loss=0.{number:06} lr=3.0e-04 grad_norm=1.27 tokens/s=48211.5 \
         mem=61.2GiB epoch=3/90"
    )
}

/// What the command prints.
pub(super) fn file(count: u64) -> String {
    (0..count).map(|number| text(number) + "\n").collect()
}

pub(super) async fn run(bench: &Bench) -> Result<Vec<Measure>> {
    let count = bench.scaled(LINES);
    let (ours, plain) =
        bench.turns(async || pod(bench, count).await, async || bare(bench, count).await).await?;
    let wire = wire(bench, count).await? as f64;
    let texts: usize = (0..count).map(|number| text(number).len()).sum();
    let frames: usize = (0..count).map(|number| frame(&text(number)).len()).sum();
    let title = format!("{count} lines, beside a bare client");
    Ok(vec![
        Measure::ratio(&title, &ours, &plain).bar(RATE),
        Measure::new("lines of the command", "lines/s", ours),
        Measure::new("lines of a bare client", "lines/s", plain),
        Measure::one("lines on the wire, beside their frames", "×", wire / frames as f64).bar(WIRE),
        Measure::one("lines on the wire, beside their text", "×", wire / texts as f64),
    ])
}

/// Lines a second between the first and the last, which come in order.
async fn rate(mut events: Receiver<ServiceEvent>, count: u64) -> Result<f64> {
    let (mut next, mut begin) = (0, Instant::now());
    while next < count {
        let event = timeout(PATIENCE, events.recv()).await.context("no line comes")?;
        if let ServiceEvent::Line { line, .. } = event.context("the service is gone")?
            && line.io_type == "STDOUT"
        {
            ensure!(line.text.as_ref() == text(next), "line {next} is {:?}", line.text);
            if next == 0 {
                begin = Instant::now();
            }
            next += 1;
        }
    }
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}

async fn pod(bench: &Bench, count: u64) -> Result<f64> {
    let ground = Ground::new(bench).await?;
    let events = ground.service.subscribe();
    let path = ground.path("lines");
    std::fs::write(&path, file(count))?;
    let pod = ground.start(&format!("cat {}", path.display()), &More::default())?;
    let rate = rate(events, count).await?;
    pod.end().await?;
    Ok(rate)
}

async fn bare(bench: &Bench, count: u64) -> Result<f64> {
    let ground = Ground::new(bench).await?;
    let events = ground.service.subscribe();
    let path = ground.path("lines");
    std::fs::write(&path, file(count))?;
    let url = format!("ws://{}{}", ground.service.address(), logger_path("wf-1", "t1", 0));
    let token = ground.service.sidecar_token();
    let mut client: Child = std::process::Command::new(std::env::current_exe()?)
        .args(["bare", "lines", &url, &token])
        .arg(path)
        .spawn()?;
    let rate = rate(events, count).await;
    client.kill()?;
    client.wait()?;
    rate
}

/// Bytes to the service for a whole life of a pod that says `count` lines.
async fn wire(bench: &Bench, count: u64) -> Result<u64> {
    let ground = Ground::new(bench).await?;
    let events = ground.service.subscribe();
    let relay = Relay::start(ground.service.address()).await?;
    let path = ground.path("lines");
    std::fs::write(&path, file(count))?;
    let more = More { port: Some(relay.port), ..More::default() };
    let pod = ground.start(&format!("cat {}", path.display()), &more)?;
    rate(events, count).await?;
    pod.end().await?;
    Ok(relay.up())
}
