//! What a run shows while it runs: the command's lines, notes, and progress —
//! a bar on a terminal, a plain line a second elsewhere, from the second on.
//!
//! The command's own output goes to standard output, everything else to
//! standard error, so that `run … | tee` does what one expects. With `--json`
//! standard output belongs to the report alone.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use osmo_engine::units::{bytes, seconds};
use osmo_protocol::events::{Phase, SidecarEvent};

/// How often a plain progress line is printed.
const PLAIN_PERIOD: Duration = Duration::from_secs(1);

/// The terminal, or what stands in for it.
pub(super) struct Screen {
    bar: Option<ProgressBar>,
    stdout_is_ours: bool,
    quiet: bool,
    last_plain: Option<Instant>,
}

impl Screen {
    /// `json`: keep standard output free. `quiet`: no progress and no notes.
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        let live = std::io::stderr().is_terminal() && !quiet;
        Self { bar: live.then(new_bar), stdout_is_ours: !json, quiet, last_plain: None }
    }

    /// A remark of the runner.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            self.print(false, text);
        }
    }

    /// Something the user must know; `quiet` does not hide it.
    pub(super) fn warn(&self, text: &str) {
        self.print(false, &format!("warning: {text}"));
    }

    /// A failure.
    pub(super) fn error(&self, text: &str) {
        self.print(false, &format!("error: {text}"));
    }

    /// A result, on standard output.
    pub(super) fn print_out(&self, text: &str) {
        self.print(true, text);
    }

    /// A finished sentence, on standard error.
    pub(super) fn print_err(&self, text: &str) {
        self.print(false, text);
    }

    /// A line of the task's log; `kind` as the service stores it.
    pub(super) fn line(&self, task: &str, kind: &str, text: &str) {
        match kind {
            "STDOUT" => self.print(self.stdout_is_ours, &format!("[{task}] {text}")),
            "STDERR" => self.print(false, &format!("[{task}] {text}")),
            _ => self.note(&format!("[{task}][osmo] {text}")),
        }
    }

    /// A sidecar's progress.
    pub(super) fn event(&mut self, task: &str, event: &SidecarEvent) {
        let SidecarEvent::Transfer { phase, item, .. } = event else {
            self.idle();
            return;
        };
        let verb = if *phase == Phase::Upload { "uploading" } else { "downloading" };
        let label = format!("[{task}] {verb} {item}");
        match &self.bar {
            Some(bar) => draw(bar, label, event),
            None => self.plain(&label, event),
        }
    }

    /// Nothing is moving: takes the bar away.
    pub(super) fn idle(&mut self) {
        self.last_plain = None;
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn plain(&mut self, label: &str, event: &SidecarEvent) {
        let SidecarEvent::Transfer { files_done, files_total, bytes_done, bytes_total, .. } = event
        else {
            return;
        };
        // What is done is told by the sidecar's own line; what is done within
        // a period needs no progress.
        let is_done = bytes_done == bytes_total && files_done == files_total;
        let now = Instant::now();
        if is_done || now - *self.last_plain.get_or_insert(now) < PLAIN_PERIOD {
            return;
        }
        self.last_plain = Some(now);
        self.note(&format!(
            "{label}: {} of {}, {files_done} of {files_total} files",
            bytes(*bytes_done),
            bytes(*bytes_total)
        ));
    }

    fn print(&self, to_stdout: bool, text: &str) {
        // A closed terminal must not end the run.
        let write = || {
            let _ = if to_stdout {
                writeln!(std::io::stdout(), "{text}")
            } else {
                writeln!(std::io::stderr(), "{text}")
            };
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(
        "{msg} {bar:24} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {elapsed}",
    ) {
        bar.set_style(style);
    }
    bar
}

fn draw(bar: &ProgressBar, label: String, event: &SidecarEvent) {
    let SidecarEvent::Transfer { files_done, files_total, bytes_done, bytes_total, .. } = event
    else {
        return;
    };
    if bytes_done == bytes_total && files_done == files_total {
        return bar.finish_and_clear();
    }
    if bar.is_finished() {
        bar.reset();
    }
    bar.set_length(*bytes_total);
    bar.set_position(*bytes_done);
    bar.set_message(format!("{label} {files_done}/{files_total}"));
}

/// `prepared 404 objects, 1.25 GiB in 1.80 s`.
pub(super) fn prepared(files: u64, size: u64, took: Duration) -> String {
    format!("{files} objects, {} in {}", bytes(size), seconds(took.as_secs_f64()))
}
