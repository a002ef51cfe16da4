//! Names to addresses, without the C library.
//!
//! It is: the hosts file, `resolv.conf` with its search list, queries over UDP
//! and TCP for both address families, and a bounded memory of the answers. It
//! is not: `nsswitch.conf`, mDNS or NIS; a static binary has none of them.
//!
//! ```text
//!  lookup(host) ─ address? ─ hosts file? ─ localhost? ─ remembered? ─┐
//!    any thread, any executor                                        ▼
//!                                       thread `names`: one query per name and
//!                                       family in flight, asked by hickory
//! ```
//!
//! Invariants:
//! * An address literal never reaches a name server, nor does `localhost`.
//! * However many ask for one name at once, it is asked for once.
//! * The thread starts with the first name that needs it and ends with the
//!   last handle.
//!
//! Limits: 64 names are remembered, for their TTL but 1 s at least and 30 s at
//! most (an expired answer serves an hour longer while nobody can be asked);
//! [`ADDRESSES_MAX`] addresses of a name are used, 3 name servers, 32 search
//! domains. Files are read once, at the first look.

mod asking;
mod cache;
mod fault;
mod hosts;
mod settings;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use asking::{Found, Question};
use cache::Cache;
pub use fault::NameFault;
pub use hosts::Hosts;
pub use settings::Settings;

/// Addresses used of one name; S3 answers with eight.
pub const ADDRESSES_MAX: usize = 16;
/// Questions that wait for the thread to take them.
const QUESTIONS_MAX: usize = 64;

/// Resolves names; clones share what they learn.
#[derive(Clone)]
pub struct Names(Arc<Inner>);

struct Inner {
    source: Source,
    read: OnceLock<(Settings, Hosts)>,
    cache: Mutex<Cache>,
    thread: Mutex<Option<mpsc::Sender<Question>>>,
}

enum Source {
    Files { resolv_conf: PathBuf, hosts: PathBuf },
    Given(Settings, Hosts),
}

impl Default for Names {
    /// The machine's own names, shared by everybody in the process.
    fn default() -> Self {
        static SHARED: Mutex<Weak<Inner>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = shared.upgrade() {
            return Self(inner);
        }
        let names = Self::from_files("/etc/resolv.conf", "/etc/hosts");
        *shared = Arc::downgrade(&names.0);
        names
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

impl Names {
    /// Names as these two files have them; they are read at the first lookup,
    /// and one that cannot be read counts as empty.
    pub fn from_files(resolv_conf: impl AsRef<Path>, hosts: impl AsRef<Path>) -> Self {
        Self::of(Source::Files {
            resolv_conf: resolv_conf.as_ref().to_owned(),
            hosts: hosts.as_ref().to_owned(),
        })
    }

    /// Names as `settings` and `hosts` have them.
    pub fn given(settings: Settings, hosts: Hosts) -> Self {
        Self::of(Source::Given(settings, hosts))
    }

    fn of(source: Source) -> Self {
        Self(Arc::new(Inner {
            source,
            read: OnceLock::new(),
            cache: Mutex::default(),
            thread: Mutex::default(),
        }))
    }

    /// The addresses of `host`, at least one, which may be an address itself
    /// (without brackets). Needs no particular executor.
    ///
    /// # Errors
    /// The name does not exist, has no address, or nobody could be asked;
    /// [`NameFault::passes`] tells which may end otherwise next time.
    pub async fn lookup(&self, host: &str) -> Result<Arc<[IpAddr]>, NameFault> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok([address].into());
        }
        let (settings, hosts) = self.0.read();
        let host = host.to_ascii_lowercase();
        if let Some(known) = hosts.addresses(&host) {
            return Ok(known);
        }
        if is_localhost(&host) {
            return Ok([Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()].into());
        }
        if let Some(fresh) = self.cache(|cache| cache.fresh(&host, Instant::now())) {
            return Ok(fresh);
        }
        match self.ask(settings, &host).await {
            Ok(Found { addresses, until }) => {
                let now = Instant::now();
                self.cache(|cache| cache.keep(&host, Arc::clone(&addresses), until, now));
                Ok(addresses)
            }
            Err(fault) if fault.passes() => {
                let stale = self.cache(|cache| cache.stale(&host, Instant::now()));
                if stale.is_some() {
                    tracing::debug!(%fault, "cannot ask for a name again, using what was known");
                }
                stale.ok_or(fault)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Says that the addresses of `host` were of no use: the next lookup asks
    /// again, and what was known serves only if nobody answers.
    pub fn doubt(&self, host: &str) {
        self.cache(|cache| cache.doubt(&host.to_ascii_lowercase(), Instant::now()));
    }

    async fn ask(&self, settings: &Settings, host: &str) -> Result<Found, NameFault> {
        let stopped = || NameFault::Stopped { host: host.to_owned() };
        let questions = self.questions(settings).map_err(|_| stopped())?;
        let (answer, answered) = oneshot::channel();
        let question = Question { host: host.to_owned(), answer };
        questions.send(question).await.map_err(|_| stopped())?;
        // The thread ends with the last sender, and this is one.
        answered.await.map_err(|_| stopped())?
    }

    /// The way to the thread, which is started where there is none.
    fn questions(&self, settings: &Settings) -> std::io::Result<mpsc::Sender<Question>> {
        let mut thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(questions) = thread.as_ref().filter(|questions| !questions.is_closed()) {
            return Ok(questions.clone());
        }
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        asking::start(settings.clone(), asked)?;
        *thread = Some(questions.clone());
        Ok(questions)
    }

    fn cache<T>(&self, step: impl FnOnce(&mut Cache) -> T) -> T {
        step(&mut self.0.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn read(&self) -> &(Settings, Hosts) {
        self.read.get_or_init(|| match &self.source {
            Source::Given(settings, hosts) => (settings.clone(), hosts.clone()),
            Source::Files { resolv_conf, hosts } => {
                (Settings::parse(&text(resolv_conf)), Hosts::parse(&text(hosts)))
            }
        })
    }
}

/// A file's text; none counts as empty, as for the C library.
fn text(path: &Path) -> String {
    match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(fault) => {
            tracing::debug!(path = %path.display(), %fault, "cannot read a file of names");
            String::new()
        }
    }
}

/// RFC 6761, section 6.3: such a name is never asked for.
pub(super) fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host == "localhost" || host.ends_with(".localhost")
}
