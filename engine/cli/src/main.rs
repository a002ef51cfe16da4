//! The `osmo` command.
fn main() -> std::process::ExitCode {
    osmo_cli::main(std::env::args_os())
}
