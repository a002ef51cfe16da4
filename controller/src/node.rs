//! What a node is and how it is.
//!
//! ```text
//!   /proc, /sys (below --sysroot) ──► facts ─┐
//!   NVML (osmo-nvml) ──────────────► GPUs ───┴► Report ─► table · JSON · Prometheus
//!                                                  └────► OSMO's resource message
//! ```
//!
//! `report` reads once, or every second with `--watch`; `agent` reads once a
//! second and serves the same snapshot to everybody who asks. What cannot be
//! read is absent, and a note says why where that is not obvious.

mod agent;
mod facts;
mod metrics;
mod reader;
mod report;
mod resource;
mod root;
mod show;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cli::{NodeCommand, ReportArgs};
use reader::Reader;
use report::Report;

/// Between two snapshots.
const PERIOD: Duration = Duration::from_secs(1);

/// Runs `osmo-controller node …`.
pub fn main(command: &NodeCommand) -> ExitCode {
    let result = match command {
        NodeCommand::Report(args) => report(args),
        NodeCommand::Agent(args) => agent::serve(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the report has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "osmo-controller: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(args: &ReportArgs) -> std::io::Result<()> {
    let mut reader = Reader::open(&args.read);
    loop {
        let begin = Instant::now();
        write(args, &reader.read())?;
        if !args.watch {
            return Ok(());
        }
        std::thread::sleep(PERIOD.saturating_sub(begin.elapsed()));
    }
}

fn write(args: &ReportArgs, report: &Report) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        let text = match args.watch {
            true => serde_json::to_string(report)?,
            false => serde_json::to_string_pretty(report)?,
        };
        writeln!(out, "{text}")?;
    } else if args.prometheus {
        out.write_all(metrics::exposition(report, args.read.dcgm).as_bytes())?;
    } else {
        out.write_all(show::table(report).as_bytes())?;
    }
    out.flush()
}
