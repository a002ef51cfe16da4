//! Every program of the project in one, by `argv[0]`, so that tests drive the
//! same code as the shipped binaries without building each of them.

use std::process::ExitCode;

fn main() -> ExitCode {
    osmo_controller::main(std::env::args_os())
}
