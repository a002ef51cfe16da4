//! A key, until its echo is there. Ours is the echo of a terminal in the task;
//! bare is a socket that gives back what it gets, behind a relay.

use std::time::Instant;

use anyhow::{Result, ensure};
use osmo_link::Socket;
use osmo_protocol::router::{PairKind, Side};

use super::Bench;
use super::case::{Bar, Measure};
use super::place::{Ground, More, next, send, until};

/// Of one round.
const KEYS: u64 = 5_000;
const BAR: Bar = Bar::AtMost(1.5);
/// The kernel echoes each key at once; nobody answers it.
const COMMAND: &str = "sh -c 'stty -icanon -isig; echo ready; exec cat >/dev/null'";

pub(super) async fn run(bench: &Bench) -> Result<Vec<Measure>> {
    let ground = Ground::new(bench).await?;
    let over = ground.path("over");
    let script = format!("echo up; until [ -e {} ]; do sleep 0.05; done", over.display());
    let pod = ground.start(&script, &More::default())?;
    pod.says("up").await?;
    let mut ours = pod.terminal(COMMAND).await?;
    shows(&mut ours, "ready").await?;

    let ground = &pod.ground;
    let socket = ground.path("echo.sock");
    let exe = std::env::current_exe()?;
    let bare = |words: &[&str]| {
        let mut command = tokio::process::Command::new(&exe);
        command.arg("bare").args(words).arg(&socket).kill_on_drop(true).spawn()
    };
    let _echo = bare(&["echo"])?;
    until("the echo listens", || socket.exists()).await?;
    let route = ground.route(PairKind::Exec);
    let [url, token] = ground.bare_side(PairKind::Exec, Side::Backend, &route.key);
    let _relay = bare(&["to-unix", &url, &token])?;
    let mut plain = ground.user(PairKind::Exec, &route).await?;

    let keys = bench.scaled(KEYS);
    let turns = bench
        .turns(async || echoes(&mut ours, keys).await, async || echoes(&mut plain, keys).await);
    let (ours_us, bare_us) = turns.await?;
    drop((ours, plain));
    std::fs::write(over, "")?;
    pod.end().await?;

    let mut measures = Vec::new();
    for (name, at) in [("p50", 50), ("p99", 99)] {
        let take = |rounds: &[Vec<f64>]| -> Vec<f64> {
            rounds.iter().map(|round| percentile(round, at)).collect()
        };
        let (ours, bare) = (take(&ours_us), take(&bare_us));
        let ratio = Measure::ratio(&format!("echo of a key, {name}, beside bare"), &ours, &bare);
        measures.push(ratio.bar(BAR));
        measures.push(Measure::new(&format!("echo of a key, {name}"), "µs", ours));
        measures.push(Measure::new(&format!("bare echo, {name}"), "µs", bare));
    }
    Ok(measures)
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
