//! What is still held at the end, counted by whoever can: the meters, the
//! runtime, the kernel. Each is 0; what is not is a leak, and told.

use std::path::Path;

use osmo_protocol::events::Left;
use tokio::runtime::Handle;
use tokio::task::yield_now;

use crate::console::Console;
use crate::meters::{Kind, Meters};

/// Looks that tasks get which have ended but for their last breath.
const BREATHS: u32 = 16;

/// Files that are open, without those of a GPU's driver, which are the
/// driver's; 0 where nobody can tell.
pub(crate) fn files() -> u64 {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let open = targets.filter(|target| !is_gpu(target)).count();
    // The list itself is one of them.
    open.saturating_sub(1) as u64
}

fn is_gpu(target: &Path) -> bool {
    target.to_string_lossy().starts_with("/dev/nvidia")
}

/// Counts; `files_before` were open at the begin.
pub(crate) async fn count(meters: &Meters, files_before: u64) -> Left {
    for _ in 0..BREATHS {
        yield_now().await;
    }
    let of = |each: fn(&Meters, Kind) -> u64| Kind::ALL.map(|kind| each(meters, kind)).iter().sum();
    Left {
        sessions: of(|meters, kind| meters.sessions(kind).0),
        connections: of(|meters, kind| meters.connections(kind).0),
        transfers: meters.transfers(),
        tasks: Handle::current().metrics().num_alive_tasks() as u64,
        children: children(),
        files: files().saturating_sub(files_before),
        ..Left::default()
    }
}

/// Processes that some thread of ours started and nobody waited for.
fn children() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")));
    lists.map(|list| list.unwrap_or_default().split_whitespace().count() as u64).sum()
}

/// Says what is left, if anything is; unsent lines have a failure of their own.
pub(crate) fn tell(left: &Left, console: Console) {
    let held = left.each().into_iter().filter(|(name, count)| *count > 0 && *name != "lines");
    let held: Vec<_> = held.map(|(name, count)| format!("{count} {name}")).collect();
    if !held.is_empty() {
        console.warn(&format!("at the end there are still {}", held.join(", ")));
    }
}
