//! What a command leaves running. A container takes it along when it ends; on
//! one machine nobody does, so whoever started the command adopts it
//! ([`adopt`]) and ends it ([`end`]).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// How long killed processes may take to go; one that the kernel holds longer
/// is left to it.
const LIMIT: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(2);

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
    while begin.elapsed() < LIMIT && kill_all(&[]) {
        std::thread::sleep(LOOK);
    }
}

/// The same without blocking the thread, and but for those in `spared`.
pub(crate) async fn end_but(spared: &[Pid]) {
    let begin = Instant::now();
    while begin.elapsed() < LIMIT && kill_all(spared) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether there was anybody.
fn kill_all(spared: &[Pid]) -> bool {
    let children: Vec<_> = children().into_iter().filter(|child| !spared.contains(child)).collect();
    for &child in &children {
        let _ = kill(child, Signal::SIGKILL);
        let _ = waitpid(child, Some(WaitPidFlag::WNOHANG));
    }
    !children.is_empty()
}

/// The children of all threads of this process.
fn children() -> BTreeSet<Pid> {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return BTreeSet::new() };
    let lists = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let words: Vec<String> = lists.collect();
    words.iter().flat_map(|list| list.split_whitespace()).filter_map(pid).collect()
}

fn pid(word: &str) -> Option<Pid> {
    word.parse().ok().map(Pid::from_raw)
}
