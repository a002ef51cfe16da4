//! Buries the dead: one place, since whoever waits for any child takes the
//! status that another waits for.
//!
//! ```text
//!   SIGCHLD ──► reap ──► somebody waits ──► Ended
//!                    └─► an orphan: buried without a word
//! ```
//!
//! A leader whose group may finish (`Leftovers::Finish`) lies unburied, and
//! whoever is found behind it, until [`Process::bury`].
//!
//! The agent is an entrypoint, so orphans of the whole container come to it.
//! A process is started through [`Reaper::spawn`]; until it is buried its
//! number, and its group's, belong to nobody else, so a signal is sent only
//! before.

use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, WaitStatus, waitpid};
use tokio::sync::oneshot;

use crate::orphans;

/// The living children that somebody waits for; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reaper {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    waited: BTreeMap<Pid, Waited>,
    /// Nothing starts any more.
    is_closed: bool,
}

#[derive(Debug)]
struct Waited {
    tell: oneshot::Sender<Ended>,
    leftovers: Leftovers,
    /// Told when a leader is dead whose group may finish.
    dead: Option<oneshot::Sender<()>>,
}

/// What becomes of a process's group when its leader ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leftovers {
    /// It is killed with the leader.
    End,
    /// It is killed when the leader is buried, see [`Process::bury`].
    Finish,
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
pub(crate) struct End {
    ended: oneshot::Receiver<Ended>,
    dead: oneshot::Receiver<()>,
}

impl Reaper {
    /// Starts `command`.
    ///
    /// # Errors
    /// As [`Command::spawn`]; also once [`Reaper::end`] was called.
    pub(crate) fn spawn(
        &self,
        command: &mut Command,
        leftovers: Leftovers,
    ) -> std::io::Result<(Child, Process, End)> {
        // Held meanwhile: the process may end before it is known here.
        let mut table = self.lock();
        if table.is_closed {
            return Err(std::io::Error::other("the task ends"));
        }
        let child = command.spawn()?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let (tell, ended) = oneshot::channel();
        let (tell_dead, dead) = oneshot::channel();
        table.waited.insert(pid, Waited { tell, leftovers, dead: Some(tell_dead) });
        Ok((child, Process { pid, reaper: self.clone() }, End { ended, dead }))
    }

    /// Buries whoever has ended. To be called at each SIGCHLD.
    pub(crate) fn reap(&self) {
        let mut table = self.lock();
        while table.bury() {}
    }

    /// Kills and buries every descendant before it returns; from now on nothing
    /// starts. Who waits for a process is told its end.
    pub(crate) fn end(&self) {
        self.lock().is_closed = true;
        let begin = Instant::now();
        loop {
            for &leader in self.lock().waited.keys() {
                let _ = killpg(leader, Signal::SIGKILL);
                let _ = kill(leader, Signal::SIGKILL);
            }
            let is_listed = orphans::kill_children(&[]).is_some();
            self.reap();
            let is_over = !orphans::is_parent() || !is_listed && self.lock().waited.is_empty();
            if is_over || begin.elapsed() >= orphans::LIMIT {
                return;
            }
            std::thread::sleep(orphans::LOOK);
        }
    }

    /// The processes that somebody waits for.
    pub(crate) fn waited(&self) -> Vec<Pid> {
        self.lock().waited.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Buries one of the dead; whether there may be another.
    fn bury(&mut self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        // Looked at first: until it is buried, its group's number is its own.
        let seen = match waitid(Id::All, flags).map(|status| status.pid()) {
            Ok(Some(pid)) => Some(pid),
            // Ended by a signal without a name.
            Err(Errno::EINVAL) => None,
            Err(Errno::EINTR) => return true,
            Ok(None) | Err(_) => return false,
        };
        if seen.is_some_and(|pid| self.lingers(pid)) {
            return false;
        }
        seen.inspect(|&pid| self.end_group(pid));
        let wanted = seen.and_then(|pid| rustix::process::Pid::from_raw(pid.as_raw()));
        let Ok(Some((pid, status))) = waitpid(wanted, WaitOptions::NOHANG) else { return false };
        let pid = Pid::from_raw(pid.as_raw_nonzero().get());
        if seen.is_none() {
            self.end_group(pid);
        }
        if let Some(known) = self.waited.remove(&pid) {
            let _ = known.tell.send(Ended::of(status));
        }
        true
    }

    /// Whether the dead `leader` lies here for its group, which is told once.
    fn lingers(&mut self, leader: Pid) -> bool {
        let Some(known) = self.waited.get_mut(&leader) else { return false };
        if let Some(dead) = known.dead.take() {
            let _ = dead.send(());
        }
        known.leftovers == Leftovers::Finish && !self.is_closed
    }

    fn end_group(&self, leader: Pid) {
        if self.waited.get(&leader).is_some_and(|known| known.leftovers != Leftovers::Live) {
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }
}

impl Process {
    /// Its number.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Signals the process alone.
    pub(crate) fn signal(&self, signal: Signal) {
        let table = self.reaper.lock();
        if table.waited.contains_key(&self.pid) {
            let _ = kill(self.pid, signal);
        }
    }

    /// Kills what is left of the process's group once its leader is dead, which
    /// is buried then.
    pub(crate) fn bury(&self) {
        if let Some(known) = self.reaper.lock().waited.get_mut(&self.pid) {
            known.leftovers = Leftovers::End;
        }
        self.reaper.reap();
    }

    /// Signals the process's group.
    pub(crate) fn signal_group(&self, signal: Signal) {
        let table = self.reaper.lock();
        if table.waited.contains_key(&self.pid) {
            let _ = killpg(self.pid, signal);
        }
    }
}

/// Kills the process's group when it is dropped.
#[derive(Debug)]
pub(crate) struct Tied(pub(crate) Process);

impl Drop for Tied {
    fn drop(&mut self) {
        self.0.signal_group(Signal::SIGKILL);
    }
}

impl End {
    /// Waits until the process is dead, though it may not be buried yet.
    pub(crate) async fn dead(&mut self) {
        let _ = (&mut self.dead).await;
    }

    /// Waits for the end; to be asked until it answers. Cancel-safe.
    pub(crate) async fn wait(&mut self) -> Ended {
        let unknown = || Ended { code: 1, sentence: "an unknown end".to_owned() };
        (&mut self.ended).await.unwrap_or_else(|_| unknown())
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
