//! The sidecar's exit codes, as the operator shows them (2000 + code).

/// Why the sidecar ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// All went well (the task's own code is told by the user container).
    Ok = 0,
    /// An input could not be downloaded.
    Download = 10,
    /// An output could not be uploaded.
    Upload = 12,
    /// The access check itself could not run.
    AccessCheck = 13,
    /// The credentials do not allow what the task needs.
    AccessDenied = 14,
    /// The service refused the task's token.
    Token = 20,
    /// The service was away for longer than `-timeout`.
    WebSocketTimeout = 21,
    /// The service sent something that cannot be understood.
    WebSocketMessage = 22,
    /// The unix socket, or the agent behind it, failed.
    UnixSocket = 23,
    /// The group barrier failed.
    Barrier = 24,
    /// Metrics could not be told.
    Metrics = 25,
    /// A flag or item cannot be understood.
    InvalidInput = 30,
    /// A helper command failed.
    CommandFailed = 31,
    /// A file could not be read or written.
    FileFailed = 32,
    /// Anything else.
    Misc = 40,
}

impl ExitCode {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The code of this number.
    pub fn of(code: u8) -> Option<Self> {
        use ExitCode::*;
        let all = [
            Ok,
            Download,
            Upload,
            AccessCheck,
            AccessDenied,
            Token,
            WebSocketTimeout,
            WebSocketMessage,
            UnixSocket,
            Barrier,
            Metrics,
            InvalidInput,
            CommandFailed,
            FileFailed,
            Misc,
        ];
        all.into_iter().find(|one| one.code() == code)
    }
}
