//! SIGTERM and SIGINT become events: the pod must go, but not without what it
//! has made.

use osmo_protocol::exit::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::lifecycle::{Event, Failure};

/// Sends [`Event::Terminate`] for each.
pub(crate) fn listen(events: mpsc::Sender<Event>) -> Result<JoinHandle<()>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(ExitCode::Misc, format!("Cannot listen for signals: {error}"))
    };
    let mut term = signal(SignalKind::terminate()).map_err(failed)?;
    let mut int = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if events.send(Event::Terminate).await.is_err() {
                return;
            }
        }
    }))
}
