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
/// What stalls may cost, in time.
const STALLED_MOST: f64 = 1.15;
/// The store that stalls.
const STALLING: &str = "slow-disk";
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
        silent: ground.start_model("silent")?,
        ground,
    };
    let mut measures = Vec::new();
    for workload in [Workload::Large, Workload::Images] {
        for driver in ["uring", "epoll"] {
            let measure = session.stalls(workload, driver)?;
            say(&page::sentence(&measure));
            measures.push(measure);
        }
    }
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
        let source = self.source(workload)?;
        let (with, without) = self.turns(
            || self.once(&source, &self.telling, driver, place, &[]),
            || self.once(&source, &self.silent, driver, place, &["--no-journal"]),
        )?;
        let on = if place.starts_with("/dev/shm") { "tmpfs" } else { "disk" };
        let what = format!("{} → {on}, {driver}", source.set.name);
        let gib = source.bytes as f64 / GIB;
        let cpu = |runs: &[Run]| -> Vec<f64> {
            runs.iter().map(|run| (run.user_s + run.sys_s) / gib).collect()
        };
        Ok([
            Measure::new(&format!("{what}: CPU with trust"), "s/GiB", cpu(&with)),
            Measure::ratio(&format!("{what}: CPU, with ÷ without"), &cpu(&with), &cpu(&without))
                .bar(Bar::AtMost(CPU_MOST)),
            Measure::ratio(
                &format!("{what}: wall to durable, with ÷ without"),
                &walls(&with),
                &walls(&without),
            ),
        ])
    }

    /// The same store, of which one answer in a hundred hangs.
    fn stalls(&self, workload: Workload, driver: &str) -> Result<Measure> {
        let source = self.source(workload)?;
        let profile = Profile::named(STALLING).context("there is no such profile")?;
        let ground = Ground { profile, ..self.ground.clone() };
        let clean = ground.start(Kind::Model, &[], false)?;
        let hanging = ground.start_model("hanging")?;
        let place = Path::new("/dev/shm");
        let (stalled, clean) = self.turns(
            || self.once(&source, &hanging, driver, place, &[]),
            || self.once(&source, &clean, driver, place, &[]),
        )?;
        let what = format!(
            "{}, {STALLING}, {driver}: makespan, 1 % of answers hanging 5 to 15 s ÷ none",
            source.set.name
        );
        Ok(Measure::ratio(&what, &walls(&stalled), &walls(&clean)).bar(Bar::AtMost(STALLED_MOST)))
    }

    fn source(&self, workload: Workload) -> Result<Source> {
        Source::prepare(workload, self.flags.scale, &self.ground.bucket())
    }

    /// Two contestants in turns; whoever begins changes, and the first round does
    /// not count.
    fn turns(
        &self,
        one: impl Fn() -> Result<Run>,
        other: impl Fn() -> Result<Run>,
    ) -> Result<(Vec<Run>, Vec<Run>)> {
        let (mut ones, mut others) = (Vec::new(), Vec::new());
        for round in 0..=self.flags.rounds {
            let (left, right) = if round % 2 == 0 {
                let left = one()?;
                (left, other()?)
            } else {
                let right = other()?;
                (one()?, right)
            };
            if round > 0 {
                ones.push(left);
                others.push(right);
            }
        }
        Ok((ones, others))
    }

    fn once(
        &self,
        source: &Source,
        server: &Running,
        driver: &str,
        place: &Path,
        more: &[&str],
    ) -> Result<Run> {
        let target = tempfile::Builder::new().prefix("osmo-bench-").tempdir_in(place)?;
        let remote = format!("s3://{BUCKET}/{}/", source.set.name);
        let mut command: Vec<OsString> = vec![self.osmo.clone().into(), "data".into()];
        command.extend(["download", &remote].map(OsString::from));
        command.push(target.path().into());
        let flags = ["--endpoint-url", server.url(), "--io", driver, "--quiet"];
        command.extend(flags.iter().chain(more).map(OsString::from));
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

fn walls(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|run| run.wall_s + run.sync_s).collect()
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
