//! `osmo-bench`: osmo and its peers on one machine, in turns, and the page that
//! says how they stand.
//!
//! It is: workloads, servers, command lines, a measuring process, tables. It is
//! not: a load generator, or a judge of anything but whole runs of whole
//! programs. The micro-benches of the byte path lie beside it
//! (`cargo bench -p osmo-benches`).
//!
//! ```text
//!  compare ─► workload ─► server ─► for each round, for each peer:
//!                                     peer ─► once (own process: CPU, memory)
//!                                     measure (samples the tree meanwhile)
//!                                     verify (sha256sum against the source)
//!              record (JSON) ◄──────┘
//!  report  ─► table ─► docs/BENCHMARKS.md, between its markers
//! ```
//!
//! Invariants: a run counts only when its tree is right; a peer that is missing,
//! fails or is wrong is listed as such and never compared; every peer meets the
//! same server, data and environment, in turns, after one run that is not
//! counted; figures on the page come from a record, never from a hand.
//!
//! Limits: loopback, one machine; a run is killed after its time limit; memory
//! is sampled every 25 ms, and what a process reports at its end is taken where
//! it is more.

mod cli;
mod compare;
mod environment;
mod measure;
mod once;
mod peer;
mod pod;
mod proc;
mod record;
mod report;
mod server;
mod table;
mod trust;
mod verify;
mod workload;

use std::process::ExitCode;

pub use cli::main_with;

/// The program.
pub fn main() -> ExitCode {
    main_with(std::env::args_os())
}

/// What a person reads while it runs.
#[allow(clippy::print_stderr, reason = "this program talks to a person on stderr")]
fn say(text: &str) {
    eprintln!("{text}");
}
