//! The exit codes that scripts and the sidecar go by.

use std::process::ExitCode;

use osmo_engine::ErrorKind;

/// How the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All of it was done.
    Success,
    /// The command line makes no sense.
    Usage,
    /// Something else went wrong, for all files or for some.
    Failure,
    /// Somebody pressed ^C.
    Interrupted,
    /// The store asked for less load for too long; worth another try later.
    Throttled,
    /// The code of the program that was run: in a task, or rsync.
    Command(u8),
}

impl Exit {
    /// The code.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Usage => 1,
            Self::Failure => 2,
            Self::Interrupted => 3,
            Self::Throttled => 75,
            Self::Command(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Usage => Self::Usage,
            ErrorKind::Cancelled => Self::Interrupted,
            ErrorKind::Throttled => Self::Throttled,
            ErrorKind::Config
            | ErrorKind::NotFound
            | ErrorKind::Denied
            | ErrorKind::Unreachable
            | ErrorKind::Protocol
            | ErrorKind::Store
            | ErrorKind::Changed
            | ErrorKind::Corrupt
            | ErrorKind::Unverified
            | ErrorKind::KeyRefused
            | ErrorKind::Exists
            | ErrorKind::DiskFull
            | ErrorKind::Local
            | ErrorKind::Partial
            | ErrorKind::Unsupported
            | ErrorKind::Internal => Self::Failure,
        }
    }
}
