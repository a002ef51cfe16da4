//! The init container's program; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    osmo_init::main(std::env::args_os().skip(1))
}
