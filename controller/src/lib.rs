//! Runs task pods: on this machine (`run`), with everything a pod needs beside
//! it — an embedded store and the local service.
//!
//! The executable plays every role of the pod, by `argv[0]` ([`role`]).

pub mod cli;
pub mod node;
pub mod role;
pub mod run;
pub mod service;
pub mod store;
pub mod workflow;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use role::{Program, Role};

/// The whole program: a role of the pod when `argv[0]` names one, else the
/// controller's own commands.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    match args.first().and_then(|argv0| Role::from_argv0(argv0)) {
        Some(Role::Cli) => osmo_cli::main(args),
        Some(Role::Pod(program)) => {
            role::bind_to_runner(program);
            let own = args.into_iter().skip(1);
            match program {
                Program::Init => osmo_init::main(own),
                Program::Ctrl => osmo_ctrl::main(own),
                Program::Exec => osmo_exec::main(own),
            }
        }
        None => controller(args),
    }
}

/// Silent unless `RUST_LOG` asks for more. The embedded store's protocol layer
/// calls every refusal of a client an error: it must be asked for by name.
fn listen_to_log() {
    use tracing_subscriber::filter::{EnvFilter, filter_fn};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let Some(wanted) = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty()) else {
        return;
    };
    let filter = EnvFilter::new(format!("s3s=off,{wanted}"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails only where a caller has set up a log of its own.
    let _ = log.finish().with(filter_fn(osmo_engine::telemetry::may_show)).try_init();
}

fn controller(args: Vec<OsString>) -> ExitCode {
    listen_to_log();
    match cli::Cli::try_parse_from(args) {
        Ok(cli::Cli { command: cli::Command::Run(args) }) => run::main(&args).into(),
        Ok(cli::Cli { command: cli::Command::Store(args) }) => run::serve_store(&args).into(),
        Ok(cli::Cli { command: cli::Command::Node(command) }) => node::main(&command),
        Err(error) => {
            // A closed terminal is no reason to fail.
            let _ = error.print();
            if error.use_stderr() { run::exit::USAGE.into() } else { ExitCode::SUCCESS }
        }
    }
}
