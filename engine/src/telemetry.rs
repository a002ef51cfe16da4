//! What may be logged.

use tracing::{Level, Metadata};

/// Whether a line of this kind may be shown, whatever `RUST_LOG` asks for. The
/// crates below this project print whole requests at `debug` and `trace`, and
/// leave out what each version of each of them takes for a secret. So that
/// nothing rests on that, they are heard from `info` on.
pub fn may_show(line: &Metadata<'_>) -> bool {
    line.target().starts_with("osmo") || *line.level() <= Level::INFO
}
