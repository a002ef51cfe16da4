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
    /// Nothing that the bytes could be compared with, where that was required.
    Unverified,
    /// A key that would leave the destination, or that no file name can hold.
    KeyRefused,
    /// The destination has no room left.
    DiskFull,
    /// Another local I/O failure (permissions, read-only mount, I/O error).
    Local,
    /// The target is already there, and was to stay as it is.
    Exists,
    /// Some files moved and some did not; the report lists them.
    Partial,
    /// The caller cancelled.
    Cancelled,
    /// Not available in this build or on this machine.
    Unsupported,
    /// A broken promise inside the engine.
    Internal,
}

/// What a retry policy does with a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryClass {
    /// Passing: try again after a backoff.
    Retry,
    /// The store asks for less load: back off further, open fewer connections.
    Throttle,
    /// The credentials have expired: again with fresh ones, if there are.
    Auth,
    /// Another version of the object is there now: plan it again.
    Changed,
    /// The bytes do not match their checksum: fetch or send them again.
    Corrupt,
    /// The store does not understand how the bytes are to be checked: send
    /// them with another checksum.
    Checksum,
    /// Something has run out, the disk first of all: no attempt helps before
    /// there is room.
    Budget,
    /// Somebody asked to stop.
    Cancelled,
    /// Another attempt would end the same way.
    Fatal,
}

impl RetryClass {
    /// Whether what arrived before such a failure may be gone on with.
    pub fn leaves_bytes_good(self) -> bool {
        match self {
            Self::Retry | Self::Throttle | Self::Auth | Self::Budget | Self::Cancelled => true,
            Self::Changed | Self::Corrupt | Self::Checksum | Self::Fatal => false,
        }
    }
}

impl ErrorKind {
    /// The class of a failure of this kind, unless the failure itself says
    /// otherwise ([`Error::class`]).
    pub fn class(self) -> RetryClass {
        match self {
            Self::Unreachable | Self::Store => RetryClass::Retry,
            Self::Throttled => RetryClass::Throttle,
            Self::Denied => RetryClass::Auth,
            Self::Changed => RetryClass::Changed,
            Self::Corrupt => RetryClass::Corrupt,
            Self::DiskFull => RetryClass::Budget,
            Self::Cancelled => RetryClass::Cancelled,
            Self::Usage
            | Self::Config
            | Self::NotFound
            | Self::Protocol
            | Self::Unverified
            | Self::KeyRefused
            | Self::Local
            | Self::Exists
            | Self::Partial
            | Self::Unsupported
            | Self::Internal => RetryClass::Fatal,
        }
    }
}

/// A failure, ready to be shown: `cannot <what>: <source>`.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    class: RetryClass,
    sentence: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure whose `sentence` names the cause and, where one is known,
    /// the remedy.
    pub fn new(kind: ErrorKind, sentence: impl Into<String>) -> Self {
        Self { kind, class: kind.class(), sentence: sentence.into(), source: None }
    }

    /// The same failure with what caused it below.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same failure in another retry class than its kind implies.
    #[must_use]
    pub fn in_class(mut self, class: RetryClass) -> Self {
        self.class = class;
        self
    }

    /// The same words for another subject of the same failure, without the
    /// source's own type.
    #[must_use]
    pub fn copy(&self) -> Self {
        let Self { kind, class, .. } = *self;
        Self { kind, class, sentence: self.to_string(), source: None }
    }

    /// What a retry policy does with it.
    pub fn class(&self) -> RetryClass {
        self.class
    }

    /// What the failure means.
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
