//! The `osmo` command: data transfers from a shell, under the flags, names and
//! exit codes that users of OSMO know.
//!
//! It is a thin shell around [`osmo_engine`]: it reads flags, shows progress,
//! prints one report and picks the exit code. It moves no bytes itself.
//!
//! ```text
//!  args ─► flags ─► data ─► Engine ─► Report ─► show (person) | json (machine)
//!                    │ interrupt: ^C cancels           └► exit code
//!                    └ progress: a bar, or one line a second
//! ```
//!
//! What a person reads while it runs goes to stderr; results (listings, the
//! report, JSON) go to stdout.

mod benchmark;
mod data;
mod exit;
mod flags;
mod interrupt;
mod manual;
mod progress;
mod session;
mod show;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use session::flags::Session;

pub use exit::Exit;
pub use manual::flag_tables;

/// Runs the command with `args`, the first of which is its own name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    osmo_engine::mem::limit_arenas();
    run(args).into()
}

/// The same, with an exit code that can be looked at.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    let flags = match flags::Osmo::try_parse_from(args) {
        Ok(flags) => flags,
        Err(error) => {
            // Help and version are no errors, and have nowhere else to go if
            // the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Success };
        }
    };
    start_log();
    match flags.topic {
        flags::Topic::Data(data) => data::run(*data),
        flags::Topic::Exec(flags) => session::run(Session::Exec(*flags)),
        flags::Topic::PortForward(flags) => session::run(Session::PortForward(*flags)),
        flags::Topic::Rsync(flags) => session::run(Session::Rsync(*flags)),
        flags::Topic::Logs(flags) => session::run(Session::Logs(*flags)),
        flags::Topic::Workflow(workflow) => session::run((*workflow).into()),
        flags::Topic::Completions { shell } => manual::completions(shell),
        flags::Topic::Man { dir } => manual::pages(dir.as_deref()),
    }
}

/// `RUST_LOG` opens the engine's log, on stderr; without it the report says
/// all there is to say.
fn start_log() {
    use tracing_subscriber::filter::{EnvFilter, filter_fn};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.finish().with(filter_fn(osmo_engine::telemetry::may_show));
    // Another main in the same process may have opened it already.
    let _ = log.try_init();
}
