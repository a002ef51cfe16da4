//! What a dry run prints: a line a file, on stdout, none of them lost.

use std::io::Write;

use osmo_engine::report::Action;
use serde::Serialize;

use crate::flags::Common;

/// One line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    would: &'a str,
    key: &'a str,
    bytes: u64,
}

/// Where a dry run's lines go.
pub(crate) struct Rehearsal {
    json: bool,
    quiet: bool,
}

impl Rehearsal {
    pub(crate) fn new(common: &Common) -> Self {
        Self { json: common.json, quiet: common.quiet }
    }

    /// Writes one line. A reader that went away wants no more of them.
    pub(crate) fn line(&self, action: Action, key: &str, bytes: u64) {
        let would = match action {
            Action::Download => "download",
            Action::Upload => "upload",
            Action::Delete => "delete",
            Action::Skip => "skip",
        };
        let mut out = std::io::stdout().lock();
        let _ = if self.json {
            let text = serde_json::to_string(&Line { would, key, bytes }).unwrap_or_default();
            writeln!(out, "{text}")
        } else if self.quiet {
            Ok(())
        } else {
            writeln!(out, "would {would}: {key}")
        };
    }
}
