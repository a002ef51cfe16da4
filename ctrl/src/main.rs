//! The sidecar's program; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    osmo_ctrl::main(std::env::args_os().skip(1))
}
