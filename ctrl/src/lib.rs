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

use osmo_protocol::exit::ExitCode as Code;
use osmo_protocol::flags::{FlagError, USAGE_EXIT};
use osmo_protocol::termination;

pub use flags::Flags;
use lifecycle::Failure;

/// Runs the program with `args` (without the program's name).
pub fn main<I>(args: I) -> ExitCode
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    osmo_engine::mem::limit_arenas();
    raise_open_files();
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let flags = match Flags::parse(args.clone()) {
        Ok(flags) => flags,
        Err(FlagError::Help(text)) => {
            let _ = writeln!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let sentence = error.to_string();
            complain(&sentence);
            write_termination(&flags::termination_log(&args), Code::InvalidInput, &sentence);
            return ExitCode::from(USAGE_EXIT);
        }
    };
    let place = flags.termination_log.clone();
    let result = guard::caught_here(|| live(flags)).and_then(|result| result);
    let (code, sentence) = match &result {
        Ok(()) => (Code::Ok, ""),
        Err(failure) => {
            complain(&failure.sentence);
            (failure.code, failure.sentence.as_str())
        }
    };
    write_termination(&place, code, sentence);
    ExitCode::from(code.code())
}

/// A forwarded connection takes two descriptors, and the usual limit is 1,024:
/// sessions must not take those of the link and of transfers.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

fn live(flags: Flags) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Misc, format!("Cannot start: {error}")))?;
    let result = runtime.block_on(driver::run(flags));
    runtime.shutdown_background();
    result
}

fn write_termination(place: &Path, code: Code, sentence: &str) {
    let message = termination::encode(code, sentence);
    if let Err(error) = std::fs::write(place, message) {
        complain(&format!("cannot write the termination message {}: {error}", place.display()));
    }
}

fn complain(sentence: &str) {
    let _ = writeln!(std::io::stderr(), "osmo-ctrl: {sentence}");
}
