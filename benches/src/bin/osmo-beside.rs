//! Every program of the project in one, by `argv[0]`: what the smoke test
//! compares with curl, without a release build.

use std::process::ExitCode;

fn main() -> ExitCode {
    osmo_controller::main(std::env::args_os())
}
