//! Terminals: programs beside the command, each on a PTY of its own.
//!
//! ```text
//!   UserExecStart ─► Terminals ─ one task each ─┐
//!                                               ▼
//!   sidecar ◄─ second connection: Hello, raw ─► PTY ◄─► program (own session)
//! ```
//!
//! ^C, ^D and job control are the PTY's line discipline; a resize reaches the
//! program as SIGWINCH from the kernel. A terminal ends when its program does,
//! whoever still holds the PTY open, and when its user leaves: then its session
//! is hung up, and after a bound the shell and what ran in its foreground are
//! killed. What was put into the background against hang-ups (`nohup`) lives
//! on, until the command ends.
//!
//! Limits: [`TERMINALS_MAX`] at once; one more is told so; beyond as many
//! refusals at once nobody is told but the log.

mod hang_up;
mod keys;
mod life;
mod pty;
mod screen;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use osmo_protocol::socket::Frame;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::command::search_path;
use crate::flags::Flags;
use crate::namespace::{self, Bind};
use crate::reaper::Reaper;

/// Terminals at once.
pub const TERMINALS_MAX: usize = 64;

/// All terminals of the agent.
pub(crate) struct Terminals {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    closing: watch::Sender<bool>,
}

/// What every terminal needs.
struct Shared {
    socket: PathBuf,
    token: String,
    stage: Vec<OsString>,
    binds: Vec<Bind>,
    env: Vec<(&'static str, OsString)>,
    reaper: Reaper,
    frames: mpsc::Sender<Frame>,
    /// The agent ends.
    closing: watch::Receiver<bool>,
}

/// A terminal that was asked for.
struct Wanted {
    command: String,
    session: Option<u64>,
    /// No place is left for it.
    is_refused: bool,
}

impl Terminals {
    pub(crate) fn new(
        flags: &Flags,
        token: &str,
        stage: &[OsString],
        reaper: Reaper,
        frames: mpsc::Sender<Frame>,
    ) -> Self {
        let (closing, is_closing) = watch::channel(false);
        let shared = Shared {
            socket: flags.socket.clone(),
            token: token.to_owned(),
            stage: stage.to_vec(),
            binds: flags.binds.clone(),
            env: environment(flags),
            reaper,
            frames,
            closing: is_closing,
        };
        let semaphore = || Arc::new(Semaphore::new(TERMINALS_MAX));
        Self {
            shared: Arc::new(shared),
            tasks: JoinSet::new(),
            places: semaphore(),
            refusals: semaphore(),
            closing,
        }
    }

    /// Begins a terminal; never waits.
    ///
    /// # Errors
    /// A sentence, when not even a refusal can be told.
    pub(crate) fn open(&mut self, command: String, session: Option<u64>) -> Result<(), String> {
        while self.tasks.try_join_next().is_some() {}
        let place = self.places.clone().try_acquire_owned();
        let is_refused = place.is_err();
        let Ok(permit) = place.or_else(|_| self.refusals.clone().try_acquire_owned()) else {
            return Err(format!("a terminal was refused: {TERMINALS_MAX} are open"));
        };
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            life::live(Wanted { command, session, is_refused }, &shared).await;
            drop(permit);
        });
        Ok(())
    }

    /// Ends all terminals and waits for them.
    pub(crate) async fn close(&mut self) {
        let _ = self.closing.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Shared {
    fn program(&self, argv: &[String]) -> std::process::Command {
        let mut command = namespace::terminal(&self.stage, &self.binds, argv);
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Waits for the agent's end.
    async fn closed(&self) {
        let _ = self.closing.clone().wait_for(|closing| *closing).await;
    }
}

fn environment(flags: &Flags) -> Vec<(&'static str, OsString)> {
    vec![
        ("PATH", search_path(std::env::var_os("PATH"), &flags.user_bin)),
        ("TERM", "xterm".into()),
        ("HISTFILE", flags.history_file.clone().into()),
        ("HISTSIZE", "1000".into()),
        ("HISTFILESIZE", "2000".into()),
        ("HISTCONTROL", "ignoredups:ignorespace".into()),
        ("HISTIGNORE", "".into()),
        ("PS1", "\\$ ".into()),
    ]
}
