//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use osmo_engine::config::ChecksumChoice;
use osmo_engine::job::{Encryption, IfExists, OnChange, Select, StoreOptions};
use osmo_engine::units::parse_bytes;
use osmo_engine::{Error, ErrorKind, IoChoice};

use crate::session::flags as session;

/// Moves data between object stores and this machine, and reaches into running
/// tasks.
#[derive(Debug, Parser)]
#[command(name = "osmo", version)]
pub(crate) struct Osmo {
    #[command(subcommand)]
    pub(crate) topic: Topic,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Topic {
    /// Download, upload, list, delete and check data
    #[command(subcommand)]
    Data(Box<Data>),
    /// Open a terminal in a task; Enter ~ . leaves it
    Exec(Box<session::Exec>),
    /// Reach a task's ports from this machine, until ^C
    PortForward(Box<session::PortForward>),
    /// Copy files to or from a task, with this machine's rsync
    #[command(subcommand)]
    Rsync(Box<session::Rsync>),
    /// Print what a workflow's tasks print
    Logs(Box<session::Logs>),
    /// exec, port-forward, rsync and logs as OSMO's own command line has them
    #[command(subcommand, hide = true)]
    Workflow(Box<session::Workflow>),
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one page a command into a folder
    Man {
        /// An existing folder
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// Download an object, or everything below a prefix, into a folder
    Download(Download),
    /// Upload files and folders below a prefix
    Upload(Upload),
    /// List the keys below a prefix
    List(List),
    /// Delete an object, or everything below a prefix
    Delete(Delete),
    /// Check that a place may be used
    Check(Check),
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
    /// Record no progress, and look at none that was recorded: a download that is
    /// killed begins anew
    #[arg(long)]
    pub(crate) no_journal: bool,
    /// What happens to an object that changes while it is downloaded
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Change::Error)]
    pub(crate) on_change: Change,
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
    pub(crate) sent: Sent,
    #[command(flatten)]
    pub(crate) transfer: Transfer,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// s3://bucket/prefix; s3://bucket/ is the whole bucket
    pub(crate) remote: String,
    #[command(flatten)]
    pub(crate) select: Selection,
    /// Tell what would be deleted, and delete nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Delete the whole bucket's content, where no prefix is named
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// s3://bucket[/prefix]
    pub(crate) remote: String,
    /// What it would be used for; without, only whether the bucket answers
    #[arg(long, value_enum, ignore_case = true, value_name = "TYPE")]
    pub(crate) access_type: Option<AccessType>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What access is checked for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum AccessType {
    /// Objects are read
    #[value(name = "READ")]
    Read,
    /// Objects are written
    #[value(name = "WRITE")]
    Write,
    /// Objects are removed
    #[value(name = "DELETE")]
    Delete,
}

/// Which paths a command is about; all see the path below the prefix.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Keep only paths that this matches from their start on, as Python's
    /// re.match
    #[arg(short = 'x', long)]
    pub(crate) regex: Option<String>,
    /// Keep only paths that match this glob, in which * crosses folders;
    /// repeatable
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// Drop paths that match this glob, also included ones; repeatable
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
}

impl From<Selection> for Select {
    fn from(selection: Selection) -> Self {
        let Selection { regex, include, exclude } = selection;
        Self { regex, include, exclude }
    }
}

/// What happens to a target that is already there.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Exists {
    /// It is replaced
    Overwrite,
    /// It stays, and counts as skipped
    Skip,
    /// It stays, and the file fails
    Error,
}

impl From<Exists> for IfExists {
    fn from(exists: Exists) -> Self {
        match exists {
            Exists::Overwrite => Self::Overwrite,
            Exists::Skip => Self::Skip,
            Exists::Error => Self::Error,
        }
    }
}

/// What happens to an object that changes while it is downloaded.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Change {
    /// It fails, and leaves no file
    Error,
    /// It is downloaded anew, three times at most
    Restart,
}

impl From<Change> for OnChange {
    fn from(change: Change) -> Self {
        match change {
            Change::Error => Self::Error,
            Change::Restart => Self::Restart,
        }
    }
}

/// What the store does with what it is sent.
#[derive(Debug, Args)]
pub(crate) struct Sent {
    /// Encryption at the store: its own keys, or a key service's
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, default_missing_value = "s3")]
    pub(crate) sse: Option<Sse>,
    /// The key service's key; its default key without
    #[arg(long, value_name = "KEY", requires = "sse")]
    pub(crate) sse_kms_key_id: Option<String>,
    /// The storage class, as the store names it
    #[arg(long, value_name = "CLASS")]
    pub(crate) storage_class: Option<String>,
    /// The content type; by file name extension without
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// How the store checks what it is sent
    #[arg(long, value_enum, value_name = "HOW", default_value_t = UploadChecksum::Auto)]
    pub(crate) upload_checksum: UploadChecksum,
}

/// How the store checks what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UploadChecksum {
    /// The best way that the store takes
    Auto,
    /// CRC64NVME behind the bytes, or before them; nothing less
    Trailer,
    /// CRC64NVME before the bytes; nothing less
    Header,
    /// MD5 before the bytes; nothing else
    ContentMd5,
    /// Nothing
    None,
}

impl From<UploadChecksum> for ChecksumChoice {
    fn from(checksum: UploadChecksum) -> Self {
        match checksum {
            UploadChecksum::Auto => Self::Auto,
            UploadChecksum::Trailer => Self::Trailer,
            UploadChecksum::Header => Self::Header,
            UploadChecksum::ContentMd5 => Self::ContentMd5,
            UploadChecksum::None => Self::None,
        }
    }
}

/// Encryption at the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sse {
    /// The store's own keys (AES256)
    S3,
    /// A key of the key service
    Kms,
}

impl Sent {
    /// What the store is told; a key only goes with the key service.
    pub(crate) fn options(self, request_payer: bool) -> Result<StoreOptions, Error> {
        let encryption = match (self.sse, self.sse_kms_key_id) {
            (Some(Sse::S3), Some(_)) => {
                let sentence = "--sse-kms-key-id goes with --sse kms";
                return Err(Error::new(ErrorKind::Usage, sentence));
            }
            (Some(Sse::S3), None) => Some(Encryption::S3),
            (Some(Sse::Kms), key) => Some(Encryption::Kms(key)),
            (None, _) => None,
        };
        let (storage_class, content_type) = (self.storage_class, self.content_type);
        Ok(StoreOptions { request_payer, encryption, storage_class, content_type })
    }
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// s3://bucket[/prefix]
    pub(crate) remote: String,
    /// Write the keys to this file instead of the terminal
    pub(crate) local: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) select: Selection,
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
    #[command(flatten)]
    pub(crate) select: Selection,
    /// What happens to a target that is already there
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Exists::Overwrite)]
    pub(crate) if_exists: Exists,
    /// Fail each file that no checksum of the store's verifies
    #[arg(long)]
    pub(crate) require_verified: bool,
    /// Tell what would happen, and move nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Bytes a second over all connections, at most, as 10MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) limit_rate: Option<usize>,
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
    /// The region to sign for, before every other source
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// PEM certificates to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_bundle: Option<PathBuf>,
    /// Take any certificate: the peer may be anybody
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Send requests unsigned
    #[arg(long)]
    pub(crate) no_sign_request: bool,
    /// Whoever asks pays, and that is you
    #[arg(long)]
    pub(crate) request_payer: bool,
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
