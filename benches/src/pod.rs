//! `osmo-bench pod`: a living pod beside bare programs over the same hops.
//!
//! ```text
//!  user ── service ── osmo-ctrl ── osmo-exec ── terminal        ours
//!  user ── service ── relay ────── echo                         bare (see `bare`)
//! ```
//!
//! The service is the same one for both, in this process; every other box is a
//! process. Rounds take turns, and whoever begins changes with them. Figures
//! become a record, and the page is made from it alone.

mod bare;
pub(crate) mod case;
mod files;
mod forward;
mod idle;
mod init;
mod life;
mod lines;
pub(crate) mod page;
mod peak;
mod place;
mod relay;
mod terminal;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

pub(crate) use bare::Flags as BareFlags;
pub(crate) use bare::main as bare;
use case::{Case, Measure, Record};

use crate::cli::absolute;
use crate::workload::Scale;
use crate::{environment, report, say};

/// The flags of `pod`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Only these cases
    #[arg(long, value_delimiter = ',')]
    cases: Vec<Case>,
    /// Runs of each that count
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Bytes, lines and connections, as a part of the full size
    #[arg(long, default_value = "1")]
    scale: Scale,
    /// osmo, osmo-ctrl, osmo-exec and osmo-init
    #[arg(long, default_value = "target/release")]
    programs: PathBuf,
    /// Where osmo-init finds what it places: static programs
    #[arg(long, default_value = "target/image")]
    image: PathBuf,
    /// Where pods live
    #[arg(long, default_value = "/dev/shm")]
    work: PathBuf,
    /// Where the record goes
    #[arg(long, default_value = "target/bench/pod.json")]
    json: PathBuf,
    /// The page whose table is written anew
    #[arg(long)]
    page: Option<PathBuf>,
}

/// What every case gets.
pub(crate) struct Bench {
    rounds: u32,
    scale: Scale,
    programs: PathBuf,
    image: PathBuf,
    work: PathBuf,
}

impl Bench {
    /// A part of `full`, one at least.
    fn scaled(&self, full: u64) -> u64 {
        self.scale.of(full)
    }

    /// Runs two contestants in turns; the seconds (or whatever they return) of
    /// each. The first round does not count.
    async fn turns<A, B, T>(&self, mut ours: A, mut bare: B) -> Result<(Vec<T>, Vec<T>)>
    where
        A: AsyncFnMut() -> Result<T>,
        B: AsyncFnMut() -> Result<T>,
    {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for round in 0..=self.rounds {
            let (one, other) = if round % 2 == 0 {
                let one = ours().await?;
                (one, bare().await?)
            } else {
                let other = bare().await?;
                (ours().await?, other)
            };
            if round > 0 {
                left.push(one);
                right.push(other);
            }
        }
        Ok((left, right))
    }
}

/// Runs the cases; the record and the page grow with each.
pub(crate) fn main(flags: &Flags) -> Result<()> {
    let bench = Bench {
        rounds: flags.rounds,
        scale: flags.scale,
        programs: absolute(&flags.programs)?,
        image: absolute(&flags.image)?,
        work: absolute(&flags.work)?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start a runtime")?;
    let mut record =
        Record::load(&flags.json, environment::machine(), flags.rounds, flags.scale.ratio());
    let all: &[Case] = clap::ValueEnum::value_variants();
    let cases = if flags.cases.is_empty() { all } else { &flags.cases };
    for &case in cases {
        let begin = Instant::now();
        let measures =
            runtime.block_on(run(case, &bench)).with_context(|| format!("the case {case:?}"))?;
        for measure in &measures {
            say(&format!("{case:?}: {}", page::sentence(measure)));
        }
        say(&format!("{case:?}: {:.0} s", begin.elapsed().as_secs_f64()));
        record.put(case, measures);
        record.write(&flags.json)?;
        if let Some(path) = &flags.page {
            report::replace(path, "pod", &page::page(&record))?;
        }
    }
    Ok(())
}

async fn run(case: Case, bench: &Bench) -> Result<Vec<Measure>> {
    match case {
        Case::Terminal => terminal::run(bench).await,
        Case::Forward => forward::run(bench).await,
        Case::Files => files::run(bench).await,
        Case::Lines => lines::run(bench).await,
        Case::Idle => idle::run(bench).await,
        Case::Life => life::run(bench).await,
        Case::Init => init::run(bench),
    }
}
