//! A key, until its echo is there. Ours is the echo of a terminal in the task;
//! bare is a socket that gives back what it gets, behind a relay. A terminal costs
//! two turns of the kernel's own threads, so a bare one stands beside both.

use std::time::Instant;

use anyhow::{Result, ensure};
use osmo_link::Socket;
use osmo_protocol::router::{PairKind, Side};
use tokio::process::{Child, Command};

use super::Bench;
use super::case::{Bar, Measure};
use super::place::{Ground, More, next, send, until};

/// Of one round.
const KEYS: u64 = 5_000;
const BAR: Bar = Bar::AtMost(1.5);
/// The kernel echoes each key at once; nobody answers it.
const COMMAND: &str = "sh -c 'stty -icanon -isig; echo ready; exec cat >/dev/null'";

pub(super) async fn run(bench: &Bench) -> Result<Vec<Measure>> {
    let pod = Ground::new(bench).await?.waiting(&More::default()).await?;
    let mut ours = pod.terminal(COMMAND).await?;
    shows(&mut ours, "ready").await?;

    let (_plain, mut plain) = bare(&pod.ground, "echo").await?;
    let (_bare, mut bare) = bare(&pod.ground, "terminal").await?;
    let keys = bench.scaled(KEYS);
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..=bench.rounds as usize {
        // Whoever begins changes with the rounds; the first does not count.
        for turn in 0..3 {
            let who = (round + turn) % 3;
            let socket = match who {
                0 => &mut ours,
                1 => &mut plain,
                _ => &mut bare,
            };
            let found = echoes(socket, keys).await?;
            if round > 0 {
                times[who].push(found);
            }
        }
    }
    drop((ours, plain, bare));
    pod.over().await?;
    Ok(measures(&times))
}

fn measures(times: &[Vec<Vec<f64>>; 3]) -> Vec<Measure> {
    let mut measures = Vec::new();
    for (name, at) in [("p50", 50), ("p99", 99)] {
        let [ours, plain, bare] = times
            .each_ref()
            .map(|rounds| rounds.iter().map(|round| percentile(round, at)).collect::<Vec<_>>());
        let title = |what: &str| format!("echo of a key, {name}{what}");
        measures.push(Measure::ratio(&title(", beside a bare echo"), &ours, &plain).bar(BAR));
        let beside = ", beside a bare echo through a terminal";
        measures.push(Measure::ratio(&title(beside), &ours, &bare));
        measures.push(Measure::new(&title(""), "µs", ours));
        measures.push(Measure::new(&title(", bare"), "µs", plain));
        measures.push(Measure::new(&title(", bare, through a terminal"), "µs", bare));
    }
    measures
}

/// Two bare programs behind a pair, and the user's side of it.
async fn bare(ground: &Ground, what: &str) -> Result<([Child; 2], Socket)> {
    let path = ground.path(what);
    let route = ground.route(PairKind::Exec);
    let [url, token] = ground.bare_side(PairKind::Exec, Side::Backend, &route.key);
    let exe = std::env::current_exe()?;
    let start = |words: &[&str]| {
        Command::new(&exe).arg("bare").args(words).arg(&path).kill_on_drop(true).spawn()
    };
    let end = start(&[what])?;
    until("the echo listens", || path.exists()).await?;
    let relay = start(&["to-unix", &url, &token])?;
    Ok(([end, relay], ground.user(PairKind::Exec, &route).await?))
}

/// Microseconds of each.
async fn echoes(socket: &mut Socket, keys: u64) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..keys {
        let begin = Instant::now();
        send(socket, b"x").await?;
        let echo = next(socket).await?;
        times.push(begin.elapsed().as_secs_f64() * 1e6);
        ensure!(echo == b"x", "the echo is {echo:?}");
    }
    Ok(times)
}

/// Nearest rank.
fn percentile(values: &[f64], at: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * at).div_ceil(100).max(1) - 1]
}

/// Reads until `word` has come.
pub(super) async fn shows(socket: &mut Socket, word: &str) -> Result<()> {
    let mut shown = Vec::new();
    while !String::from_utf8_lossy(&shown).contains(word) {
        shown.extend(next(socket).await?);
    }
    // What belongs to the same line.
    while !shown.ends_with(b"\n") {
        shown.extend(next(socket).await?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::percentile;

    // Nearest rank, by hand.
    #[test]
    fn ranks() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99)), (100.0, 198.0));
        assert_eq!(percentile(&[7.0], 99), 7.0);
    }
}
