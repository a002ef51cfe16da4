//! The sidecar: fetches a task's inputs, starts its command, carries its lines
//! to the service, saves its outputs, and says how it all went.
//!
//! ```text
//!                     ┌───────────── driver ─────────────┐
//!   service ◄─ link ──┤ events ► lifecycle ► effects     ├── local ─► agent
//!    (WebSocket)      └───────┬──────────────────────────┘   (unix socket)
//!                             └─► transfer ─► engine ─► object stores
//! ```
//!
//! Read `lifecycle.rs` first: it draws the task's life. The driver is the only
//! task that changes its state; the link, the agent's connection, the transfers
//! and the signals send it events and know nothing of each other.
//!
//! Exit codes are `osmo_protocol::exit`; the code and a sentence are also in
//! the termination message, and the sentence is in the log. The command's own
//! failure is not the sidecar's: its outputs are saved and the code is 0.
//!
//! Memory: the outbox holds at most 4 MiB, each connection 16 KiB buffers, the
//! engine what `-memory` allows; everything else is small and bounded.

mod account;
mod console;
mod driver;
mod flags;
mod gpu;
mod guard;
mod health;
mod left;
pub mod lifecycle;
mod local;
mod logs;
mod meters;
mod metrics;
mod service;
mod session;
mod signal;
mod state;
mod trace;
mod transfer;
mod usage;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use osmo_protocol::exit::ExitCode as Code;
use osmo_protocol::flags::{FlagError, USAGE_EXIT};
use osmo_protocol::termination;
use rustix::process::{Resource, getrlimit, setrlimit};

pub use flags::Flags;
use lifecycle::Failure;

/// How long the container's own log may take to be written at the end.
const LOG_LIMIT: Duration = Duration::from_secs(1);

/// Runs the program with `args` (without the program's name).
pub fn main<I>(args: I) -> ExitCode
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    osmo_engine::mem::limit_arenas();
    raise_descriptors();
    console::writer::start();
    let code = serve(args.into_iter().map(Into::into).collect());
    console::writer::flush(LOG_LIMIT);
    code
}

/// One task, from its flags to its exit code.
fn serve(args: Vec<OsString>) -> ExitCode {
    let flags = match Flags::parse(args.clone()) {
        Ok(flags) => flags,
        Err(FlagError::Help(text)) => {
            let _ = writeln!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let sentence = error.to_string();
            complain(&sentence);
            let failure = Failure::new(Code::InvalidInput, sentence);
            write_termination(&flags::termination_log(&args), Some(&failure));
            return ExitCode::from(USAGE_EXIT);
        }
    };
    let place = flags.termination_log.clone();
    let result = guard::caught_here(|| live(flags)).unwrap_or_else(|failure| {
        write_termination(&place, Some(&failure));
        Err(failure)
    });
    match result {
        Ok(()) => ExitCode::from(Code::Ok.code()),
        Err(failure) => {
            complain(&failure.sentence);
            ExitCode::from(failure.code.code())
        }
    }
}

/// Lives the task's life; the message is written when this returns.
fn live(flags: Flags) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Misc, format!("Cannot start: {error}")))
        .inspect_err(|failure| write_termination(&flags.termination_log, Some(failure)))?;
    let result = runtime.block_on(driver::run(flags));
    runtime.shutdown_background();
    result
}

fn write_termination(place: &Path, failure: Option<&Failure>) {
    let (code, sentence) =
        failure.map_or((Code::Ok, ""), |failure| (failure.code, failure.sentence.as_str()));
    let message = termination::encode(code, sentence);
    if let Err(error) = std::fs::write(place, message) {
        complain(&format!("cannot write the termination message {}: {error}", place.display()));
    }
}

/// A connection takes two descriptors, and the usual soft limit is 1,024; the
/// command's own is its container's and stays.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

fn complain(sentence: &str) {
    console::writer::put(console::writer::Stream::Err, format!("osmo-ctrl: {sentence}"));
}
