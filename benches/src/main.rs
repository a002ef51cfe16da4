//! `osmo-bench`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    osmo_benches::main()
}
