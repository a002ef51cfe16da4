//! The flags of the sessions' commands.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do with a running task.
#[derive(Debug)]
pub(crate) enum Session {
    Exec(Exec),
    PortForward(PortForward),
    Rsync(Rsync),
    Logs(Logs),
}

/// The same under the words of OSMO's own command line.
#[derive(Debug, Subcommand)]
pub(crate) enum Workflow {
    /// Open a terminal in a task
    Exec(Exec),
    /// Reach a task's ports from this machine
    PortForward(PortForward),
    /// Copy files to or from a task
    #[command(subcommand)]
    Rsync(Rsync),
    /// Print what a workflow's tasks print, until they end
    Logs(Logs),
}

impl From<Workflow> for Session {
    fn from(workflow: Workflow) -> Self {
        match workflow {
            Workflow::Exec(flags) => Self::Exec(flags),
            Workflow::PortForward(flags) => Self::PortForward(flags),
            Workflow::Rsync(flags) => Self::Rsync(flags),
            // There, logs always follow.
            Workflow::Logs(flags) => Self::Logs(Logs { follow: true, ..flags }),
        }
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Exec {
    /// The workflow's ID
    pub(crate) workflow: String,
    /// The task; without, the lead task of the first group
    pub(crate) task: Option<String>,
    /// Run in every task of this group, without a keyboard, each line with its
    /// task's name
    #[arg(long, conflicts_with_all = ["task", "keep_alive"])]
    pub(crate) group: Option<String>,
    /// What to run, as one shell-quoted line; /bin/bash without
    #[arg(long, value_name = "COMMAND", conflicts_with = "command")]
    pub(crate) entry: Option<String>,
    /// Seconds that the task has to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) connect_timeout: u64,
    /// Seconds to wait for a task that does not run yet
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) wait: u64,
    /// Run it again when the connection is lost
    #[arg(long)]
    pub(crate) keep_alive: bool,
    /// Pass Enter ~ . on to the task, instead of leaving
    #[arg(long)]
    pub(crate) no_escape: bool,
    /// What to run and its arguments
    #[arg(last = true)]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) service: ServiceFlags,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PortForward {
    /// The workflow's ID
    pub(crate) workflow: String,
    /// [TASK] and ports: 8080, 8080:80 (here:there), 8080-8090,
    /// 8080-8090:80-90, 0:80 for any free port here
    #[arg(value_name = "TASK|PORT")]
    pub(crate) rest: Vec<String>,
    /// Ports, as above; repeatable and separated by commas
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Vec<String>,
    /// Datagrams instead of connections
    #[arg(long)]
    pub(crate) udp: bool,
    /// The address to listen on here
    #[arg(long, alias = "host", value_name = "ADDRESS", default_value = "localhost",
          value_parser = address)]
    pub(crate) address: IpAddr,
    /// Seconds that the task has to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) connect_timeout: u64,
    /// Seconds to wait for a task that does not run yet
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) wait: u64,
    #[command(flatten)]
    pub(crate) service: ServiceFlags,
}

fn address(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        other => other.parse().map_err(|_| "expected an IP address or localhost".to_owned()),
    }
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Rsync {
    /// Copy from this machine into a task
    Upload(Copy),
    /// Copy from a task to this machine
    Download(Copy),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Copy {
    /// The workflow's ID
    pub(crate) workflow: String,
    /// [TASK] and FROM:TO; the task's path is absolute, or below
    /// /osmo/run/workspace; \: is a colon within a path
    #[arg(value_name = "TASK|FROM:TO", required = true, num_args = 1..=2)]
    pub(crate) rest: Vec<String>,
    /// Seconds that the task has to answer, each time it is asked
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
    /// Seconds to wait for a task that does not run yet, or whose rsync does
    /// not
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) wait: u64,
    /// Bytes a second of an upload, at most
    #[arg(long, value_name = "BYTES")]
    pub(crate) upload_rate_limit: Option<u64>,
    /// Show no progress
    #[arg(long)]
    pub(crate) no_progress: bool,
    /// The rsync program of this machine; without, the one beside osmo, then
    /// the one in $PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) rsync: Option<PathBuf>,
    /// More options for rsync
    #[arg(last = true)]
    pub(crate) options: Vec<String>,
    #[command(flatten)]
    pub(crate) service: ServiceFlags,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Logs {
    /// The workflow's ID
    pub(crate) workflow: String,
    /// Only this task's lines
    #[arg(short, long)]
    pub(crate) task: Option<String>,
    /// Go on until the workflow ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last lines
    #[arg(short = 'n', long = "last", value_name = "LINES",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) last: Option<u32>,
    /// This attempt of the task; the latest without
    #[arg(short, long, value_name = "NUMBER", requires = "task")]
    pub(crate) retry_id: Option<u32>,
    /// The task's error log instead
    #[arg(long, requires = "task")]
    pub(crate) error: bool,
    #[command(flatten)]
    pub(crate) service: ServiceFlags,
}

/// Which service, as whom.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServiceFlags {
    /// OSMO's login.yaml; by default of $OSMO_CONFIG_FILE_DIR, then the user's
    /// own, then the one that osmo-controller run leaves while it runs
    #[arg(long, value_name = "FILE")]
    pub(crate) login: Option<PathBuf>,
    /// PEM certificates to trust besides the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_bundle: Option<PathBuf>,
    /// Take any certificate: the service may be anybody
    #[arg(long)]
    pub(crate) insecure: bool,
}
