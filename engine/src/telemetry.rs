//! What may be logged.

use tracing::{Level, Metadata};

/// Whether a line of this kind may be shown, whatever `RUST_LOG` asks for. The
/// crates below this project print requests with their signatures and session
/// tokens at `debug` and `trace`; they are heard from `info` on.
pub fn may_show(line: &Metadata<'_>) -> bool {
    line.target().starts_with("osmo") || *line.level() <= Level::INFO
}
