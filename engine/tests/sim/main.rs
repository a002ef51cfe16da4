//! The whole engine in a simulated world: planning, listing, orders, a shard,
//! HTTP on simulated sockets, files, publishing, commits and the journal, with
//! time, faults and crashes from one seed.
//!
//! A failure prints its seed and the command that repeats it.
#![allow(clippy::expect_used, clippy::print_stderr, clippy::print_stdout, clippy::panic)]

mod control;
mod disk;
mod faults;
mod life;
mod mutants;
mod rules;
mod run;
mod server;
mod store;
mod world;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Seeds of a plain run.
const SEEDS: u64 = 100;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Other seeds each day, where none are asked for.
fn base() -> u64 {
    let day = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_secs() / 86_400 * 1_000_000
    };
    number("OSMO_SIM_BASE").unwrap_or_else(day)
}

fn all(seeds: impl Iterator<Item = u64>) {
    let began = Instant::now();
    let (mut count, mut crashes) = (0_u64, 0);
    for seed in seeds {
        let outcome = run::seed(seed, None);
        (count, crashes) = (count + 1, crashes + outcome.crashes);
        assert!(
            outcome.broken_rules.is_empty(),
            "seed {seed} breaks a rule: {:#?}\nrepeat it: OSMO_SIM_SEED={seed} OSMO_SIM_TRACE=1 \
             cargo test -p osmo-engine --test sim -- --nocapture every_seed",
            outcome.broken_rules
        );
    }
    println!("{count} seeds, {crashes} crashes, {:.1} s", began.elapsed().as_secs_f64());
}

#[test]
fn every_seed_keeps_the_rules() {
    match number("OSMO_SIM_SEED") {
        Some(seed) => all(std::iter::once(seed)),
        None => {
            let base = base();
            let count = number("OSMO_SIM_COUNT").unwrap_or(SEEDS);
            println!("seeds from {base} on");
            all(base..base + count);
        }
    }
}

#[test]
#[ignore = "the ten thousand of CONTRIBUTING.md"]
fn ten_thousand_seeds_keep_the_rules() {
    let base = base();
    all(base..base + 10_000);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..8 {
        let (one, other) = (run::seed(seed, None), run::seed(seed, None));
        assert_eq!(one.trace, other.trace, "seed {seed}");
    }
    assert_ne!(run::seed(1, None).trace, run::seed(2, None).trace);
}
