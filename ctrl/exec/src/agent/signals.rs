//! The signals that mean something here.

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::reaper::Reaper;

/// Sets the signals up.
pub(super) struct Signals;

/// The signals that ask for an end.
pub(super) struct Stop {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on SIGCHLD wakes `reaper`; the rest is for the caller.
    pub(super) fn listen(reaper: &Reaper) -> std::io::Result<Stop> {
        let mut child = signal(SignalKind::child())?;
        let stop = Stop {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        };
        let reaper = reaper.clone();
        tokio::spawn(async move {
            while child.recv().await.is_some() {
                reaper.reap();
            }
        });
        Ok(stop)
    }
}

impl Stop {
    /// The next one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::SIGTERM,
            _ = self.int.recv() => Signal::SIGINT,
            _ = self.hang_up.recv() => Signal::SIGHUP,
        }
    }
}
