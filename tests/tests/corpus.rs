//! The entry points for fuzzing, over their corpus (`fuzz/corpus`) and over what
//! small damage makes of it. `fuzz/` hands the same ones to libFuzzer.

#![allow(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use osmo_controller::workflow;
use osmo_engine::fuzz::{TARGETS, Target};

/// Damaged inputs of each target.
const DAMAGED: usize = 200;

fn targets() -> impl Iterator<Item = (&'static str, Target)> {
    let task: Target = workflow::fuzz::task;
    TARGETS.into_iter().chain([("task", task)])
}

/// By name, so that a seed means the same everywhere.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some())
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| (path.file_name().unwrap().to_str().unwrap().into(), fs::read(path).unwrap()))
        .collect()
}

fn check(target: Target, bytes: &[u8], what: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
        eprintln!("{what}: {}", bytes.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn what_the_corpus_holds() {
    for (name, target) in targets() {
        let files = corpus(name);
        assert!(files.len() >= 4, "{name} has a corpus");
        for (file, bytes) in files {
            check(target, &bytes, &format!("{name}/{file}"));
        }
    }
}

#[test]
fn each_target_has_its_program() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    let mut found: Vec<_> = fs::read_dir(programs)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut wanted: Vec<_> = targets().map(|(name, _)| name).collect();
    found.sort();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

/// xorshift64*: small, and the same everywhere.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % limit.max(1)
    }
}

/// One to four changes: a bit turned, a piece gone, doubled, or of another input.
fn damage(bytes: &mut Vec<u8>, other: &[u8], draws: &mut Draws) {
    for _ in 0..=draws.below(4) {
        let from = draws.below(bytes.len());
        let to = (from + 1 + draws.below(16)).min(bytes.len());
        match draws.below(4) {
            0 if !bytes.is_empty() => bytes[from] ^= 1 << draws.below(8),
            1 => drop(bytes.drain(from..to)),
            2 => bytes.extend_from_within(from..to),
            _ => {
                let start = draws.below(other.len());
                let end = (start + 1 + draws.below(64)).min(other.len());
                bytes.splice(from..from, other[start..end].iter().copied());
            }
        }
    }
}

/// `OSMO_FUZZ_SEED` repeats a run.
#[test]
fn what_damage_makes_of_it() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let seed = std::env::var("OSMO_FUZZ_SEED")
        .map_or(u64::try_from(now % (1 << 60)).unwrap() | 1, |seed| seed.parse().unwrap());
    println!("OSMO_FUZZ_SEED={seed}");
    for (name, target) in targets() {
        let files: Vec<_> =
            corpus(name).into_iter().filter(|(_, bytes)| bytes.len() <= 4096).collect();
        let mut draws = Draws(seed);
        for _ in 0..DAMAGED {
            let (file, bytes) = &files[draws.below(files.len())];
            let mut bytes = bytes.clone();
            damage(&mut bytes, &files[draws.below(files.len())].1, &mut draws);
            check(target, &bytes, &format!("OSMO_FUZZ_SEED={seed}: {name}/{file}, damaged"));
        }
    }
}
