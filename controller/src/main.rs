//! `osmo-controller`, and every role of the pod under its own name.

use std::process::ExitCode;

fn main() -> ExitCode {
    osmo_controller::main(std::env::args_os())
}
