//! What went wrong, as the caller needs to know it: a closed [`ErrorKind`]
//! that decides exit code and retry class, a sentence that names cause and
//! remedy, and the source below it.

use std::fmt;

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a failure means to whoever asked. Closed: exit codes and retry
/// classes are exhaustive matches over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request itself makes no sense (bad URI, bad regex, bad flag value).
    Usage,
    /// A configuration or credential file is malformed or incomplete.
    Config,
    /// No such bucket, object or local path, or nothing under an input prefix.
    NotFound,
    /// The store refused the credentials, or there are none.
    Denied,
    /// Nobody answers at the endpoint, or the connection broke and stayed so.
    Unreachable,
    /// The store asked for less load for longer than the retry budget allows.
    Throttled,
    /// The store answered something that S3 does not say.
    Protocol,
    /// The store failed (5xx) for longer than the retry budget allows.
    Store,
    /// The object or local file changed while it moved.
    Changed,
    /// Bytes arrived, or were stored, that do not match their checksum.
    Corrupt,
    /// A key that would leave the destination, or that no file name can hold.
    KeyRefused,
    /// The destination has no room left.
    DiskFull,
    /// Another local I/O failure (permissions, read-only mount, I/O error).
    Local,
    /// Some files moved and some did not; the report lists them.
    Partial,
    /// The caller cancelled.
    Cancelled,
    /// Not available in this build or on this machine.
    Unsupported,
    /// A broken promise inside the engine.
    Internal,
}

/// A failure, ready to be shown: `cannot <what>: <source>`.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    sentence: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure whose `sentence` names the cause and, where one is known,
    /// the remedy.
    pub fn new(kind: ErrorKind, sentence: impl Into<String>) -> Self {
        Self { kind, sentence: sentence.into(), source: None }
    }

    /// The same failure with what caused it below.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The failure's class.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)?;
        let mut next = self.source.as_deref().map(|s| s as &dyn std::error::Error);
        while let Some(source) = next {
            write!(f, ": {source}")?;
            next = source.source();
        }
        Ok(())
    }
}

// The sources are part of the sentence, so `source()` stays empty: a caller
// that prints the chain would print them twice.
impl std::error::Error for Error {}
