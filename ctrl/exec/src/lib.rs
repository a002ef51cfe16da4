//! The agent: the user container's entrypoint.
//!
//! ```text
//!   sidecar ◄── data.sock ──► agent ──(own process group)──► the user's command
//!             ExecStart            stdout, stderr by line ◄──┘
//!             Terminate            SIGTERM ──────────────────►
//!             UserStop, UserStart  SIGKILL, the same again ──►
//!           ◄── data.sock ──► terminal ──(own session, PTY)──► bash, vim, …
//! ```
//!
//! It dials the sidecar, waits for the start signal, runs one command and tells
//! each of its lines; it ends when the command ends, whatever its descendants
//! still hold open, and with the command's code. A sidecar that goes away is
//! looked for: it gets every line that it did not tell to be stored.
//!
//! | file | idea |
//! |---|---|
//! | `machine` | where the command is: pure |
//! | `agent` | does what the machine says |
//! | `peer` | the connection with the sidecar, and the lines kept for it |
//! | `terminal` | programs on PTYs |
//! | `reaper` | buries the dead and hands their codes to who waits |
//! | `rsync`, `checkpoint` | what runs beside the command |
//! | `guard` | ends their programs when the agent is killed |
//! | `log` | the container's own log, which never blocks |
//!
//! | exit code | means |
//! |---|---|
//! | the command's | it ran |
//! | 128 + N | signal N ended it (the original reports 255 for all of them) |
//! | 127, 126 | no such program; it cannot be executed |
//! | 125 | the name space for `-bind` was refused |
//! | 0 | the sidecar failed before the start, and has told why |
//! | 2 | flags cannot be understood, or nobody answers at the socket |
//!
//! Nothing that the command or a terminal started outlives the command. SIGHUP
//! means that whoever started the agent is gone, or has lost patience: at once
//! every descendant is killed, and the end is told for a second at most.
//!
//! It is not a supervisor: it restarts nothing by itself and judges nothing.
//! It holds at most 32 KiB of each stream, [`FRAMES_QUEUED_MAX`] frames and
//! [`KEPT_LINES_MAX`] lines of [`KEPT_BYTES_MAX`]; a sidecar that reads slowly
//! slows the command down at its pipe. Without a sidecar the command waits for
//! a minute at most, then the oldest lines go to the container's own log.

mod agent;
mod checkpoint;
mod command;
mod dial;
mod flags;
mod guard;
mod lines;
mod log;
mod machine;
pub mod namespace;
pub mod orphans;
mod peer;
mod prepare;
mod probe;
mod reaper;
mod rsync;
mod stream;
mod terminal;
mod tree;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use osmo_protocol::flags::{FlagError, USAGE_EXIT};

pub use flags::Flags;
pub use peer::{FRAMES_QUEUED_MAX, KEPT_BYTES_MAX, KEPT_LINES_MAX};
pub use terminal::TERMINALS_MAX;

/// How long the own log may take to be written at the end.
const LOG_LIMIT: Duration = Duration::from_secs(2);

/// Runs the program with `args` (without the program's name, and without what
/// a caller that serves several programs took to choose this one).
pub fn main<I>(args: I) -> ExitCode
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    if args.first().is_some_and(|word| word == namespace::STAGE) {
        return ExitCode::from(namespace::stage(&args[1..]));
    }
    if args.first().is_some_and(|word| word == rsync::STAGE) {
        return ExitCode::from(rsync::stage(&args[1..]));
    }
    if args.first().is_some_and(|word| word == guard::STAGE) {
        return ExitCode::from(guard::stage(&args[1..]));
    }
    let flags = match Flags::parse(args.iter()) {
        Ok(flags) => flags,
        Err(FlagError::Help(text)) => {
            let _ = writeln!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return usage_fault(&error.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return usage_fault(&format!("cannot start: {error}")),
    };
    let stage = namespace::own_prefix(args.len());
    log::start();
    let code = runtime.block_on(agent::run(&flags, &stage));
    // A reader may still wait for a pipe that a descendant holds.
    runtime.shutdown_background();
    log::flush(LOG_LIMIT);
    ExitCode::from(code)
}

fn usage_fault(sentence: &str) -> ExitCode {
    complain(sentence);
    ExitCode::from(USAGE_EXIT)
}

/// A line on the container's own log.
fn complain(sentence: &str) {
    log::put(log::Stream::Err, format!("osmo-exec: {sentence}"));
}
