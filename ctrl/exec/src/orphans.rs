//! What a command leaves running. A container takes it along when it ends; on
//! one machine nobody does, so whoever started the command adopts it
//! ([`adopt`]) and ends it ([`end`]).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::Pid;

/// How long killed processes may take to go; one that the kernel holds longer
/// is left to it.
pub(crate) const LIMIT: Duration = Duration::from_secs(2);
pub(crate) const LOOK: Duration = Duration::from_millis(2);

/// Makes descendants that lose their parent children of this process.
pub fn adopt() {
    // Every kernel since 3.4 can.
    let _ = nix::sys::prctl::set_child_subreaper(true);
}

/// Kills and buries every child of this process, and theirs, which become its
/// children when they lose their parent.
///
/// To be called when no child is to live on. Where the kernel does not list
/// children (`CONFIG_PROC_CHILDREN`) nothing happens.
pub fn end() {
    let begin = Instant::now();
    while begin.elapsed() < LIMIT && kill_children(&[]).is_some() {
        while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(dead) if dead.pid().is_some())
        {
        }
        // The list may lack somebody for a moment; this never does.
        if !is_parent() {
            return;
        }
        std::thread::sleep(LOOK);
    }
}

/// The same without blocking the thread, and but for those in `spared`; the
/// dead are for the caller's reaper.
pub(crate) async fn end_but(spared: impl Fn() -> Vec<Pid>) {
    let begin = Instant::now();
    // Twice: the list may lack somebody for a moment.
    let mut empty = 0;
    while begin.elapsed() < LIMIT && empty < 2 {
        match kill_children(&spared()) {
            Some(0) => empty += 1,
            Some(_) => empty = 0,
            None => return,
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether this process has children, dead ones too.
pub(crate) fn is_parent() -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, flags) != Err(Errno::ECHILD)
}

/// Kills all children but those in `spared`; how many there were, `None` where
/// the kernel does not list them.
pub(crate) fn kill_children(spared: &[Pid]) -> Option<usize> {
    let children: Vec<_> =
        children()?.into_iter().filter(|child| !spared.contains(child)).collect();
    for &child in &children {
        let _ = kill(child, Signal::SIGKILL);
    }
    Some(children.len())
}

/// The children of all threads of this process.
fn children() -> Option<BTreeSet<Pid>> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    let lists = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    let words = lists.iter().flat_map(|list| list.split_whitespace());
    (!lists.is_empty()).then(|| words.filter_map(pid).collect())
}

fn pid(word: &str) -> Option<Pid> {
    word.parse().ok().map(Pid::from_raw)
}
