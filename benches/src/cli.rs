//! The command line.

use std::ffi::OsString;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use osmo_tests::model_server::{Catalog, Model, Profile};
use tokio::sync::Notify;

use crate::workload::{Scale, Workload};
use crate::{compare, once, pod, report, say, trust};

/// Compares osmo with its peers.
#[derive(Debug, Parser)]
#[command(name = "osmo-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run osmo and its peers in turns; write a record, and the page from it
    Compare(Box<compare::Flags>),
    /// Measure a living pod beside bare programs over the same hops
    Pod(Box<pod::Flags>),
    /// Measure what digests and the journal cost a download
    Trust(trust::Flags),
    /// Write the page from a record
    Report(report::Flags),
    /// Serve the model store until the process is stopped
    Model(ModelFlags),
    /// Run one command and record what it cost
    #[command(hide = true)]
    Once(once::Flags),
    /// One hop of `pod`, with the least code
    #[command(hide = true)]
    Bare(pod::BareFlags),
}

/// The model store's flags.
#[derive(Debug, Args)]
struct ModelFlags {
    /// plain, s3-like, lan, wan, throttled or slow-disk
    #[arg(long, default_value = "s3-like", value_parser = profile)]
    profile: Profile,
    /// Delays and content follow from it
    #[arg(long, default_value_t = crate::workload::SEED)]
    seed: u64,
    /// A port on loopback; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Size of the data sets, as a part of the full size
    #[arg(long, default_value = "1")]
    scale: Scale,
    /// Declare no checksum of any object
    #[arg(long)]
    silent: bool,
    /// One answer in a hundred stops for 5 to 15 s
    #[arg(long)]
    hanging: bool,
}

fn profile(name: &str) -> Result<Profile, String> {
    let names = Profile::ALL.map(|profile| profile.name).join(", ");
    Profile::named(name).ok_or_else(|| format!("choose from {names}"))
}

/// The program with `args`.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    let result = match cli.command {
        Command::Compare(flags) => compare::main(&flags),
        Command::Report(flags) => report::main(&flags).map(|()| ExitCode::SUCCESS),
        Command::Model(flags) => model(&flags).map(|()| ExitCode::SUCCESS),
        Command::Once(flags) => once::main(&flags).map(|()| ExitCode::SUCCESS),
        Command::Trust(flags) => trust::main(&flags).map(|()| ExitCode::SUCCESS),
        Command::Pod(flags) => pod::main(&flags).map(|()| ExitCode::SUCCESS),
        Command::Bare(flags) => pod::bare(&flags).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        say(&format!("osmo-bench: {error:#}"));
        ExitCode::FAILURE
    })
}

/// The first line on stdout is the URL; the next ones are the limits.
fn model(flags: &ModelFlags) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", flags.port)).context("listen on loopback")?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{}", listener.local_addr()?)?;
    let sets = Workload::ALL.map(|workload| workload.dataset(flags.scale));
    for set in &sets {
        let limit = flags.profile.limit(64, set.count, set.bytes_total());
        writeln!(
            out,
            "{}: {} objects, {} bytes; 64 connections, one request an object: at best {:.2} s",
            set.name,
            set.count,
            set.bytes_total(),
            limit.least.as_secs_f64()
        )?;
    }
    out.flush()?;
    let model = Model::new(flags.profile, Catalog::new(sets.to_vec()), flags.seed);
    let model = if flags.silent { model.silent() } else { model };
    let model = if flags.hanging { model.hanging() } else { model };
    Ok(model.serve(listener, &Notify::new())?)
}

/// Where everything of a comparison lies.
pub(crate) fn absolute(path: &std::path::Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("find {}", path.display()))
}
