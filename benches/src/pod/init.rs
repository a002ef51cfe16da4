//! The init container on fresh volumes, with the programs that its image has.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::Bench;
use super::case::{Bar, Measure};

const MB: f64 = 1e6;

pub(super) fn run(bench: &Bench) -> Result<Vec<Measure>> {
    ensure!(
        bench.image.is_dir(),
        "{} is not there: deploy/init/lay makes it",
        bench.image.display()
    );
    let (mut times, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..=bench.rounds {
        let root = TempDir::new_in(&bench.work)?;
        let at = |name: &str| root.path().join(name);
        let mut command = Command::new(bench.programs.join("osmo-init"));
        for (flag, name) in [
            ("--data_location", "data"),
            ("--login_location", "login"),
            ("--user_bin_location", "bin"),
            ("--run_location", "run"),
            ("--binaries_location", "binaries"),
        ] {
            command.arg(flag).arg(at(name));
        }
        command.arg("--image_location").arg(&bench.image);
        command.args(["--enable_rsync", "--login", "optional"]);
        let begin = Instant::now();
        let output = command.output().context("start osmo-init")?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "osmo-init ends with {}: {said}", output.status);
        sizes.push(bytes_below(root.path())? as f64 / MB);
    }
    // The first one found everything cold.
    times.remove(0);
    sizes.remove(0);
    Ok(vec![
        Measure::new("osmo-init", "ms", times).bar(Bar::AtMost(50.0)),
        Measure::new("osmo-init writes", "MB", sizes).bar(Bar::AtMost(25.0)),
    ])
}

/// Of all files in a tree that nobody else changes.
fn bytes_below(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sum += bytes_below(&entry.path())?;
        } else if kind.is_file() {
            sum += entry.metadata()?.len();
        }
    }
    Ok(sum)
}
