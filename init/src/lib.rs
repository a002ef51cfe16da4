//! The init container: prepares the pod's volumes, then exits.
//!
//! ```text
//!   its image                      the pod's volumes
//!   osmo_ctrl  osmo_exec   ──────► osmo_binaries/osmo/          0777
//!   osmo_cli_onedir/ | osmo ─────► usr/bin/osmo_cli/  usr/bin/osmo → osmo_cli/…
//!   rsync (--enable_rsync) ──────► usr/bin/rsync                0755, its licence and notice
//!   login.yaml             ──────► login/{ctrl,user}/config/    0777
//!   user_config.yaml       ──────► login/user/config/config.yaml
//!   (nothing)              ──────► data/{benchmarks,input,output,socket}/, run/workspace/
//!   (chance)               ──────► data/socket/handoff
//! ```
//!
//! Invariants: a data volume that holds anything but `lost+found` is a pod that
//! was prepared before, and nothing is touched. Modes do not depend on the
//! umask. Any failure is one line on standard error and exit code 1; a command
//! line that cannot be understood is exit code 2.
//!
//! It is not a setup script: it runs nothing, downloads nothing and waits for
//! nothing, so that a pod loses milliseconds to it.

mod flags;
mod handoff;
mod place;
mod prepare;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use osmo_protocol::flags::{FlagError, USAGE_EXIT};

pub use flags::Flags;
pub use prepare::{Outcome, prepare};

/// Runs the program with `args` (without the program's name).
pub fn main<I>(args: I) -> ExitCode
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    let flags = match Flags::parse(args) {
        Ok(flags) => flags,
        Err(FlagError::Help(text)) => {
            let _ = writeln!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "osmo-init: {error}");
            return ExitCode::from(USAGE_EXIT);
        }
    };
    match prepare(&flags) {
        Ok(Outcome::Prepared) => ExitCode::SUCCESS,
        Ok(Outcome::AlreadyPrepared) => {
            let place = flags.data.display();
            let _ = writeln!(std::io::stdout(), "osmo-init: {place} is in use, nothing to do");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "osmo-init: {error:#}");
            ExitCode::FAILURE
        }
    }
}
