//! The user container's entrypoint; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    osmo_exec::main(std::env::args_os().skip(1))
}
