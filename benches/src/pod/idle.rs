//! A pod whose command sleeps: what its programs hold and spend meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::sleep;

use super::Bench;
use super::case::{Bar, Measure};
use super::peak::resident_mib;
use super::place::{Ground, More};
use super::relay::Relay;
use crate::proc::cpu_s;

/// Connecting, token and the first lines are over by then.
const SETTLE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_secs(60);

pub(super) async fn run(bench: &Bench) -> Result<Vec<Measure>> {
    let ground = Ground::new(bench).await?;
    let relay = Relay::start(ground.service.address()).await?;
    let over = ground.path("over");
    let script = format!("echo up; until [ -e {} ]; do sleep 1; done", over.display());
    let pod = ground.start(&script, &More { port: Some(relay.port), ..More::default() })?;
    pod.says("up").await?;
    sleep(SETTLE).await;
    let ctrl = pod.ctrl.id().context("it lives")?;
    let exec = pod.exec.id().context("it lives")?;
    let (cpu, wire) = (cpu_s(&BTreeSet::from([ctrl])), relay.both());
    let look = LOOK.mul_f64(bench.scale.ratio().max(0.02));
    sleep(look).await;
    let cpu = cpu_s(&BTreeSet::from([ctrl])) - cpu;
    let wire = (relay.both() - wire) as f64;
    let (ctrl, exec) = (resident_mib(ctrl), resident_mib(exec));
    std::fs::write(over, "")?;
    pod.end().await?;
    let seconds = look.as_secs_f64();
    Ok(vec![
        Measure::one("idle osmo-ctrl, resident", "MiB", ctrl).bar(Bar::AtMost(12.0)),
        Measure::one("idle osmo-ctrl, CPU", "%", 100.0 * cpu / seconds).bar(Bar::AtMost(0.1)),
        Measure::one("idle osmo-ctrl, wire", "KiB/s", wire / 1024.0 / seconds)
            .bar(Bar::AtMost(1.0)),
        Measure::one("idle osmo-exec, resident", "MiB", exec),
    ])
}
