//! What is still held at the end, counted by whoever can: the meters, the
//! runtime, the kernel. Each is 0; what is not is a leak, and told.

use osmo_protocol::events::{Left, UnfinishedUpload};
use tokio::runtime::Handle;
use tokio::task::yield_now;

use crate::console::Console;
use crate::meters::{Kind, Meters};
use crate::transfer::Mover;

/// Looks that tasks get which have ended but for their last breath.
const BREATHS: u32 = 16;
/// Unfinished uploads that the summary names.
const UPLOADS_MAX: usize = 100;

/// Files that are open; 0 where nobody can tell.
pub(crate) fn files() -> u64 {
    // The list itself is one of them.
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    open.saturating_sub(1) as u64
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

/// What the store may keep of uploads that nobody ended.
pub(crate) fn behind(mover: &dyn Mover) -> Vec<UnfinishedUpload> {
    let uploads = mover.uploads_left().into_iter().take(UPLOADS_MAX);
    let told = uploads.map(|left| UnfinishedUpload {
        bucket: left.bucket,
        key: left.key,
        upload_id: left.upload_id,
    });
    told.collect()
}

/// Processes that some thread of ours started and nobody waited for.
fn children() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")));
    lists.map(|list| list.unwrap_or_default().split_whitespace().count() as u64).sum()
}

/// Says what is left, if anything is. Unsent lines have a failure of their own,
/// and files may be those of a GPU's driver, which keeps them.
pub(crate) fn tell(left: &Left, console: Console) {
    let is_ours = |name| !matches!(name, "lines" | "files");
    let held = left.each().into_iter().filter(|(name, count)| *count > 0 && is_ours(*name));
    let held: Vec<_> = held.map(|(name, count)| format!("{name}: {count}")).collect();
    if !held.is_empty() {
        console.warn(&format!("a bug worth a report: at the end are left {}", held.join(", ")));
    }
}
