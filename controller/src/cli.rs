//! The command line of `osmo-controller`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use osmo_engine::units::parse_bytes;

use crate::service::RsyncFolder;

/// Runs OSMO task pods on this machine.
#[derive(Debug, Parser)]
#[command(name = "osmo-controller", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a workflow file, one task after another, as pods would.
    ///
    /// The exit status is the task's; 64 bad usage, 65 an unusable workflow
    /// file, 69 the machine would not give what a run needs, 130 stopped.
    Run(RunArgs),
    /// Serve the embedded store of earlier runs until stopped.
    Store(StoreArgs),
    /// What this node is and how it is: GPUs, memory, networks, disks.
    #[command(subcommand)]
    Node(NodeCommand),
}

/// `osmo-controller run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The workflow file. A data set described beside it in
    /// `<name>.dataset.yaml` is generated into the embedded store first.
    pub file: PathBuf,
    /// Set a template variable; a number where it reads as one.
    #[arg(long = "set", value_name = "K=V")]
    pub set: Vec<String>,
    /// Set a template variable, always text.
    #[arg(long, value_name = "K=V")]
    pub set_string: Vec<String>,
    /// Set an environment variable of every task.
    #[arg(long, value_name = "K=V")]
    pub set_env: Vec<String>,
    /// Add a label.
    #[arg(long = "label", value_name = "K=V")]
    pub labels: Vec<String>,
    /// Print the workflow as it would run, and stop.
    #[arg(long)]
    pub dry_run: bool,
    /// Treat keys that have no effect on one machine as errors.
    #[arg(long)]
    pub strict: bool,
    /// A real S3 endpoint for the workflow's URLs, with the usual AWS
    /// environment, instead of the embedded one.
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,
    /// How the sidecar moves bytes.
    #[arg(long, value_enum, default_value_t = Io::Auto)]
    pub io: Io,
    /// The sidecar's buffer budget, e.g. 24MiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub memory: Option<usize>,
    /// Seconds from a stop to the task's end, as a pod's
    /// terminationGracePeriodSeconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub grace: u32,
    /// Let `osmo rsync` reach a folder beside the workspace; WRITABLE is true or
    /// false.
    #[arg(long, value_name = "NAME:PATH:WRITABLE")]
    pub rsync_allow: Vec<RsyncFolder>,
    /// Print the report as JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// No progress and no remarks.
    #[arg(long, short)]
    pub quiet: bool,
    /// Keep the task's tree after the run and say where it is.
    #[arg(long)]
    pub keep: bool,
    /// Where task trees are made [default: the system's temporary folder].
    #[arg(long, value_name = "DIR")]
    pub work: Option<PathBuf>,
    /// Where the embedded store and the counters live
    /// [default: $XDG_STATE_HOME/osmo or ~/.local/state/osmo].
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// `osmo-controller node`
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Report once, or again and again.
    ///
    /// The exit status is 0 also where there are no GPUs; 64 bad usage.
    Report(ReportArgs),
    /// Serve the report at `/metrics` and `/report` until stopped.
    Agent(AgentArgs),
}

/// Where a report is read from.
#[derive(Clone, Debug, Args)]
pub struct ReadArgs {
    /// Read `/proc` and `/sys` below this folder; then what only a running
    /// kernel can tell is missing.
    #[arg(long, value_name = "DIR")]
    pub sysroot: Option<PathBuf>,
    /// The NVML library [default: the system's libnvidia-ml.so.1].
    #[arg(long, value_name = "FILE")]
    pub nvml: Option<PathBuf>,
    /// Metrics under DCGM's names as well.
    #[arg(long)]
    pub dcgm: bool,
}

/// `osmo-controller node report`
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// From where.
    #[command(flatten)]
    pub read: ReadArgs,
    /// As JSON: names carry their units, `null` is what cannot be told.
    #[arg(long, conflicts_with = "prometheus")]
    pub json: bool,
    /// As Prometheus metrics.
    #[arg(long)]
    pub prometheus: bool,
    /// Again every second, until stopped; JSON is one report a line.
    #[arg(long)]
    pub watch: bool,
}

/// `osmo-controller node agent`
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// From where.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Where to listen; port 0 picks a free one, which is printed.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9410")]
    pub listen: std::net::SocketAddr,
}

/// `osmo-controller store`
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// Where the store lives [default: as for `run`].
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// The port on loopback; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
}

/// A driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Io {
    /// io_uring, or epoll where it is refused.
    Auto,
    /// io_uring or nothing.
    Uring,
    /// epoll.
    Epoll,
}

impl Io {
    /// As the flag is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        }
    }
}
