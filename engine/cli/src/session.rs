//! The user's side of a running task: a terminal, its ports, its files, its
//! lines.
//!
//! ```text
//!  osmo exec, port-forward, rsync, logs
//!     │ login.yaml ─► Account ─► Service ── POST exec, portforward, rsync ─► core
//!     │                            │   └─── GET logs ──────────────────────► core
//!     │                            └── WebSocket …/client/KEY ─► router ◄─ the task's sidecar
//!     └ terminal · listeners · the user's own rsync program
//! ```
//!
//! Invariants:
//! * a token appears in no sentence and in no `Debug` output;
//! * the terminal is as it was when the command ends, however it ends;
//! * queues are bounded, and a slow reader slows the other side down;
//! * only binary frames are sent, none of them empty: anything else would end
//!   the pair.
//!
//! Limits: 1,024 forwarded connections at once, 1,000 ports a command, 4,096
//! UDP clients a port, 16 MiB a message.

pub(crate) mod exec;
pub(crate) mod flags;
mod forward;
mod login;
mod logs;
mod order;
pub(crate) mod ports;
mod rsync;
mod service;
mod trouble;

use flags::Session;
use trouble::Trouble;

use crate::exit::Exit;
use crate::progress::say;

/// Runs one command.
pub(crate) fn run(session: Session) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("osmo: cannot start: {error}"));
            return Exit::Failure;
        }
    };
    let is_exec = matches!(session, Session::Exec(_));
    let ended = runtime.block_on(async {
        match session {
            Session::Exec(flags) => exec::run(flags).await,
            Session::PortForward(flags) => forward::run(flags).await,
            Session::Rsync(flags) => rsync::run(flags).await,
            Session::Logs(flags) => logs::run(flags).await,
        }
    });
    // A thread may still wait for a key.
    runtime.shutdown_background();
    ended.unwrap_or_else(|trouble| {
        say(&format!("osmo: {trouble}"));
        match trouble {
            Trouble::Usage(_) => Exit::Usage,
            // The command's own codes are below: as with ssh, 255 is ours.
            _ if is_exec => Exit::Command(255),
            _ => Exit::Failure,
        }
    })
}

/// Waits for SIGINT, SIGTERM or SIGHUP and tells which.
async fn asked_to_end() -> i32 {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind: SignalKind| match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
            kind.as_raw_value()
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        number = wait(SignalKind::interrupt()) => number,
        number = wait(SignalKind::terminate()) => number,
        number = wait(SignalKind::hangup()) => number,
    }
}
