//! How an engine is set up; read once, before it starts.

use std::fmt;
use std::path::PathBuf;

use crate::waits::Waits;

/// Which driver moves the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoChoice {
    /// io_uring, or epoll where the kernel or the container refuses it.
    #[default]
    Auto,
    /// io_uring or nothing.
    Uring,
    /// epoll for sockets, a small pread/pwrite pool for files.
    Epoll,
    /// The calling thread's simulated world ([`crate::sim`]).
    #[cfg(feature = "sim")]
    Sim,
}

/// What an engine may use and whom it talks to.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The driver.
    pub io: IoChoice,
    /// Bytes of buffer memory over all shards; a hard cap, not a target.
    pub memory_bytes: usize,
    /// Shard threads; `None` follows the CPU quota (1 below 4 CPUs, else 2).
    pub shards: Option<usize>,
    /// Where credentials and endpoints come from.
    pub access: Access,
    /// Limits on time and attempts.
    pub waits: Waits,
}

/// The default buffer budget: 24 MiB, so that a whole process stays below 64.
pub const MEMORY_BYTES_DEFAULT: usize = 24 << 20;

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            io: IoChoice::Auto,
            memory_bytes: MEMORY_BYTES_DEFAULT,
            shards: None,
            access: Access::default(),
            waits: Waits::default(),
        }
    }
}

/// Credentials and endpoints, in order of precedence as
/// `docs/SEMANTICS.md` lists them.
#[derive(Clone, Default)]
pub struct Access {
    /// An endpoint that overrides every other source (`--endpoint-url`).
    pub endpoint_url: Option<String>,
    /// OSMO's `config.yaml`; its entry for a bucket wins over the environment.
    pub config_file: Option<PathBuf>,
    /// The region to sign for, before every other source.
    pub region: Option<String>,
    /// PEM certificates to trust instead of the system's (`--ca-bundle`).
    pub ca_bundle: Option<PathBuf>,
    /// Take any certificate: the peer may be anybody.
    pub insecure: bool,
    /// Send requests unsigned, whatever credentials there are.
    pub anonymous: bool,
    /// How a store is made to check what is sent to it.
    pub checksum: ChecksumChoice,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint_url, config_file, region, ca_bundle, insecure, anonymous, checksum } =
            self;
        f.debug_struct("Access")
            .field("endpoint_url", &endpoint_url.as_deref().map(without_user))
            .field("config_file", config_file)
            .field("region", region)
            .field("ca_bundle", ca_bundle)
            .field("insecure", insecure)
            .field("anonymous", anonymous)
            .field("checksum", checksum)
            .finish()
    }
}

/// A URL as it may be shown, whatever somebody wrote before its `@`.
pub(crate) fn without_user(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, host)| host)
}

/// How uploads are checked on their way (`docs/SEMANTICS.md` has the table).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumChoice {
    /// The best way that the store takes.
    #[default]
    Auto,
    /// CRC64NVME behind the bytes, or before them; nothing less.
    Trailer,
    /// CRC64NVME before the bytes; nothing less.
    Header,
    /// MD5 before the bytes; nothing else.
    ContentMd5,
    /// Nothing: files count as unverifiable unless the store names a checksum
    /// by itself.
    None,
}
