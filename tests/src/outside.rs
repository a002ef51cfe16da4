//! Servers that this project did not write, for the data suites.
//!
//! What they are not: part of any program, or needed by anyone who only wants
//! to run the tests. Where one is missing, its scenarios are skipped out loud.
//!
//! ```text
//! test program ── one SeaweedFS, started by the first scenario that asks
//!      │             http port ┐
//!      │            https port ┴ same buckets, certificate of a private CA
//!      └── scenario ── an nginx of its own, http and https
//! ```
//!
//! Everything listens on 127.0.0.1, on ports that were free a moment before,
//! and goes with the test program, also when that is killed.

pub mod authority;
mod listing;
pub mod nginx;
pub mod seaweed;

use std::net::TcpListener;
use std::path::PathBuf;

/// The program called `name`: where `PATH` says, or where Debian keeps servers.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Different ports that nobody listens on.
fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
