//! Buries the dead: one place, since whoever waits for any child takes the
//! status that another waits for.
//!
//! ```text
//!   SIGCHLD ──► reap ──► somebody waits ──► Ended
//!                    └─► an orphan: buried without a word
//! ```
//!
//! The agent is an entrypoint, so orphans of the whole container come to it.
//! A process is started through [`Reaper::spawn`]; until it is buried its
//! number, and its group's, belong to nobody else, so a signal is sent only
//! before.

use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, WaitStatus, wait};
use tokio::sync::oneshot;

/// The living children that somebody waits for; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reaper {
    waited: Arc<Mutex<BTreeMap<Pid, Waited>>>,
}

#[derive(Debug)]
struct Waited {
    tell: oneshot::Sender<Ended>,
    leftovers: Leftovers,
}

/// What becomes of a process's group when its leader ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leftovers {
    /// It is killed with the leader.
    End,
    /// It lives on.
    Live,
}

/// The signalling end of a process; clones are alike.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pid: Pid,
    reaper: Reaper,
}

/// The waiting end of a process.
#[derive(Debug)]
pub(crate) struct End(oneshot::Receiver<Ended>);

impl Reaper {
    /// Starts `command`.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub(crate) fn spawn(
        &self,
        command: &mut Command,
        leftovers: Leftovers,
    ) -> std::io::Result<(Child, Process, End)> {
        // Held meanwhile: the process may end before it is known here.
        let mut waited = self.lock();
        let child = command.spawn()?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let (tell, end) = oneshot::channel();
        waited.insert(pid, Waited { tell, leftovers });
        Ok((child, Process { pid, reaper: self.clone() }, End(end)))
    }

    /// Buries whoever has ended. To be called at each SIGCHLD.
    pub(crate) fn reap(&self) {
        let mut waited = self.lock();
        loop {
            let (pid, status) = match wait(WaitOptions::NOHANG) {
                Ok(Some(dead)) => dead,
                Err(rustix::io::Errno::INTR) => continue,
                Ok(None) | Err(_) => return,
            };
            let Some(known) = waited.remove(&Pid::from_raw(pid.as_raw_nonzero().get())) else {
                continue;
            };
            if known.leftovers == Leftovers::End {
                // A group's number is not given away while it has members.
                let _ = killpg(Pid::from_raw(pid.as_raw_nonzero().get()), Signal::SIGKILL);
            }
            let _ = known.tell.send(Ended::of(status));
        }
    }

    /// The processes that somebody waits for.
    pub(crate) fn waited(&self) -> Vec<Pid> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Pid, Waited>> {
        self.waited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Its number.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Signals the process alone.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.reaper.lock().contains_key(&self.pid) {
            let _ = kill(self.pid, signal);
        }
    }

    /// Signals the process's group.
    pub(crate) fn signal_group(&self, signal: Signal) {
        if self.reaper.lock().contains_key(&self.pid) {
            let _ = killpg(self.pid, signal);
        }
    }
}

impl End {
    /// Waits for the end; to be asked until it answers. Cancel-safe.
    pub(crate) async fn wait(&mut self) -> Ended {
        let unknown = || Ended { code: 1, sentence: "an unknown end".to_owned() };
        (&mut self.0).await.unwrap_or_else(|_| unknown())
    }
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its code, or 128 and the signal's number.
    pub(crate) code: u8,
    /// `exit status N`, with the signal where there was one.
    pub(crate) sentence: String,
}

impl Ended {
    fn of(status: WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::exit(u8::try_from(code).unwrap_or(u8::MAX)),
            (None, Some(number)) => Self::signal(number),
            (None, None) => Self::exit(1),
        }
    }

    /// It exited with `code`.
    pub(crate) fn exit(code: u8) -> Self {
        Self { code, sentence: format!("exit status {code}") }
    }

    /// Signal `number` ended it; real-time signals have no name.
    pub(crate) fn signal(number: i32) -> Self {
        let code = u8::try_from(128 + number).unwrap_or(u8::MAX);
        let name = Signal::try_from(number).map_or("", Signal::as_str);
        let words = format!("ended by signal {number} {name}");
        Self { code, sentence: format!("exit status {code} ({})", words.trim_end()) }
    }
}
