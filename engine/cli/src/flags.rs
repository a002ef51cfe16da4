//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use osmo_engine::IoChoice;
use osmo_engine::units::parse_bytes;

/// Moves data between object stores and this machine.
#[derive(Debug, Parser)]
#[command(name = "osmo", version)]
pub(crate) struct Osmo {
    #[command(subcommand)]
    pub(crate) topic: Topic,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Topic {
    /// Download, upload and list data
    #[command(subcommand)]
    Data(Data),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// Download an object, or everything below a prefix, into a folder
    Download(Download),
    /// Upload files and folders below a prefix
    Upload(Upload),
    /// List the keys below a prefix
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct Download {
    /// s3://bucket[/prefix]
    pub(crate) remote: String,
    /// An existing folder; the prefix's own last segment is not created in it
    pub(crate) local: PathBuf,
    /// Leave files alone that are already there with the same content
    #[arg(short, long)]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) transfer: Transfer,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Upload {
    /// s3://bucket[/prefix]
    pub(crate) remote: String,
    /// Files and folders; `folder/*` uploads a folder's content without its name
    #[arg(required = true)]
    pub(crate) local: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) transfer: Transfer,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// s3://bucket[/prefix]
    pub(crate) remote: String,
    /// Write the keys to this file instead of the terminal
    pub(crate) local: Option<PathBuf>,
    /// Keep only keys whose path below the prefix matches from its start on
    #[arg(short = 'x', long)]
    pub(crate) regex: Option<String>,
    /// List below this prefix of the remote
    #[arg(short, long)]
    pub(crate) prefix: Option<String>,
    /// Descend into folders
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Accepted for compatibility; output is never paged
    #[arg(long)]
    pub(crate) no_pager: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Transfer {
    /// Keep only files whose path below the prefix matches from its start on
    #[arg(short = 'x', long)]
    pub(crate) regex: Option<String>,
    /// Accepted for compatibility, without effect: the engine finds its own
    /// parallelism
    #[arg(short, long)]
    pub(crate) processes: Option<u32>,
    /// Accepted for compatibility, without effect, as --processes
    #[arg(short = 'T', long)]
    pub(crate) threads: Option<u32>,
    /// Write a JSON file with duration and volume into this folder
    #[arg(short, long, value_name = "DIR")]
    pub(crate) benchmark_out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The store to talk to, instead of the configured one
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// OSMO's config.yaml; by default $OSMO_CONFIG_FILE_DIR/config.yaml, then
    /// the user's own
    #[arg(long, value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// How bytes are moved
    #[arg(long, value_enum, default_value_t = Io::Auto)]
    pub(crate) io: Io,
    /// Memory for data on its way, as 24MiB; a hard limit
    #[arg(long, value_name = "SIZE", default_value = "24MiB", value_parser = parse_bytes)]
    pub(crate) memory: usize,
    /// Print the final report as one JSON object on stdout; a listing as one
    /// object a line: key, bytes, etag, modified_s
    #[arg(long)]
    pub(crate) json: bool,
    /// Say nothing but errors, and what a listing lists
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Io {
    /// io_uring, or epoll where it is refused
    Auto,
    /// io_uring or nothing
    Uring,
    /// epoll and a few file threads
    Epoll,
}

impl From<Io> for IoChoice {
    fn from(io: Io) -> Self {
        match io {
            Io::Auto => Self::Auto,
            Io::Uring => Self::Uring,
            Io::Epoll => Self::Epoll,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Osmo::command().debug_assert();
    }
}
