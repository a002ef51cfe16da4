//! `osmo-bench trust`: the same download with everything that makes it
//! trustworthy, and without.
//!
//! With: the store declares a CRC64NVME of each object, so that every byte is
//! digested and compared, and progress is recorded. Without: the store declares
//! nothing, so that nothing is digested, and `--no-journal`. If-Match, the rename
//! and the sync at the end are in both. Rounds take turns.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use osmo_tests::model_server::{BUCKET, Profile};

use crate::cli::absolute;
use crate::measure::Bench;
use crate::pod::case::{Bar, Measure};
use crate::pod::page;
use crate::record::{Environment, Run};
use crate::server::{Ground, Kind, Running};
use crate::workload::{Scale, Source, Workload};
use crate::{environment, report, say, verify};

/// What trust may cost, in CPU time.
const CPU_MOST: f64 = 1.10;
const GIB: f64 = (1_u64 << 30) as f64;

/// The flags of `trust`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Runs of each that count
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Size of the data sets, as a part of the full size
    #[arg(long, default_value = "0.5")]
    scale: Scale,
    /// Keep the client on CPU 0 and the server on CPU 1
    #[arg(long)]
    pin: bool,
    /// Logs and downloads to disk
    #[arg(long, default_value = "target/bench")]
    work: PathBuf,
    /// osmo itself
    #[arg(long, default_value = "target/release/osmo")]
    osmo: PathBuf,
    /// The page whose table is written anew
    #[arg(long)]
    page: Option<PathBuf>,
}

/// Two stores, and where downloads go.
struct Session<'a> {
    flags: &'a Flags,
    osmo: PathBuf,
    ground: Ground,
    telling: Running,
    silent: Running,
}

/// Measures, and writes the page.
pub(crate) fn main(flags: &Flags) -> Result<()> {
    let here = environment::machine();
    let work = absolute(&flags.work)?;
    std::fs::create_dir_all(&work).with_context(|| format!("make {}", work.display()))?;
    let profile = Profile::named("plain").context("there is no plain profile")?;
    let cpu = flags.pin.then_some(1);
    let ground = Ground { bin: work.clone(), work, scale: flags.scale, profile, cpu };
    std::fs::create_dir_all(ground.bucket())?;
    let session = Session {
        flags,
        osmo: absolute(&flags.osmo)?,
        telling: ground.start(Kind::Model, &[], false)?,
        silent: ground.start_silent()?,
        ground,
    };
    let mut measures = Vec::new();
    for workload in [Workload::Large, Workload::Images] {
        for driver in ["uring", "epoll"] {
            for place in [Path::new("/dev/shm"), &session.ground.work] {
                let more = session.case(workload, driver, place)?;
                more.iter().for_each(|measure| say(&page::sentence(measure)));
                measures.extend(more);
            }
        }
    }
    match &flags.page {
        Some(path) => report::replace(path, "trust", &text(&here, flags, &measures)),
        None => Ok(()),
    }
}

impl Session<'_> {
    fn case(&self, workload: Workload, driver: &str, place: &Path) -> Result<[Measure; 3]> {
        let source = Source::prepare(workload, self.flags.scale, &self.ground.bucket())?;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for round in 0..=self.flags.rounds {
            let (one, other) = if round % 2 == 0 {
                let one = self.once(&source, driver, place, true)?;
                (one, self.once(&source, driver, place, false)?)
            } else {
                let other = self.once(&source, driver, place, false)?;
                (self.once(&source, driver, place, true)?, other)
            };
            if round > 0 {
                with.push(one);
                without.push(other);
            }
        }
        let on = if place.starts_with("/dev/shm") { "tmpfs" } else { "disk" };
        let what = format!("{} → {on}, {driver}", source.set.name);
        let gib = source.bytes as f64 / GIB;
        let cpu = |runs: &[Run]| -> Vec<f64> {
            runs.iter().map(|run| (run.user_s + run.sys_s) / gib).collect()
        };
        let wall =
            |runs: &[Run]| -> Vec<f64> { runs.iter().map(|run| run.wall_s + run.sync_s).collect() };
        Ok([
            Measure::new(&format!("{what}: CPU with trust"), "s/GiB", cpu(&with)),
            Measure::ratio(&format!("{what}: CPU, with ÷ without"), &cpu(&with), &cpu(&without))
                .bar(Bar::AtMost(CPU_MOST)),
            Measure::ratio(
                &format!("{what}: wall to durable, with ÷ without"),
                &wall(&with),
                &wall(&without),
            ),
        ])
    }

    fn once(&self, source: &Source, driver: &str, place: &Path, trusts: bool) -> Result<Run> {
        let target = tempfile::Builder::new().prefix("osmo-bench-").tempdir_in(place)?;
        let server = if trusts { &self.telling } else { &self.silent };
        let remote = format!("s3://{BUCKET}/{}/", source.set.name);
        let mut command: Vec<OsString> = vec![self.osmo.clone().into(), "data".into()];
        command.extend(["download", &remote].map(OsString::from));
        command.push(target.path().into());
        let flags = ["--endpoint-url", server.url(), "--io", driver, "--quiet"];
        command.extend(flags.map(OsString::from));
        if !trusts {
            command.push("--no-journal".into());
        }
        let (ground, log) = (&self.ground, self.ground.work.join("last.log"));
        let bench = Bench {
            environment: environment::of_peers(&ground.bin, &ground.work, &ground.ca()),
            log: &log,
            cpu: self.flags.pin.then_some(0),
            limit_s: 300,
            server: server.pid(),
            target: target.path(),
        };
        let done = bench.run(&command)?;
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        ensure!(done.code == 0, "osmo ended with {}: {said}", done.code);
        let found = verify::downloaded(source, target.path())?;
        ensure!(found.is_none(), "{}", found.unwrap_or_default());
        Ok(done.run)
    }
}

fn text(here: &Environment, flags: &Flags, measures: &[Measure]) -> String {
    let mut text = format!(
        "{} UTC, {}, {} CPUs ({}); load before the start {:.2}. The model store over loopback; \
         {} rounds in turns after one that does not count, at {} of the full size. Medians \
         (least–greatest).\n\n| | measured | bar | |\n|---|---|---|---|\n",
        here.date,
        here.kernel,
        here.cpus,
        here.cpu,
        here.load_before,
        flags.rounds,
        flags.scale.ratio(),
    );
    measures.iter().for_each(|measure| text.push_str(&page::row(measure)));
    text
}
