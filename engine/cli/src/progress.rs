//! Progress on stderr: a bar on a terminal, otherwise a line now and then.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use osmo_engine::{Progress, units};

/// Between two lines; a log that is kept should not be made of them.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Where progress goes.
pub(crate) enum Meter {
    Bar(ProgressBar),
    Lines { last: Option<Instant>, said: Option<Progress> },
    Silent,
}

impl Meter {
    pub(crate) fn new(quiet: bool) -> Self {
        if quiet {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines { last: None, said: None };
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let template = "{bar:30} {bytes}/{total_bytes} {rate} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.with_key("rate", rate));
        }
        Self::Bar(bar)
    }

    /// Shows where the job stands; called often.
    pub(crate) fn show(&mut self, progress: Progress) {
        match self {
            Self::Silent => {}
            Self::Bar(bar) => {
                bar.set_length(progress.bytes_total);
                bar.set_position(progress.bytes_done);
                bar.set_message(files(&progress));
            }
            Self::Lines { last, said } => {
                let last = last.get_or_insert_with(Instant::now);
                if last.elapsed() < LINE_EVERY || *said == Some(progress) {
                    return;
                }
                *last = Instant::now();
                *said = Some(progress);
                let moved = units::bytes(progress.bytes_done);
                let total = units::bytes(progress.bytes_total);
                say(&format!("{moved} of {total}, {}", files(&progress)));
            }
        }
    }

    /// Prints a line without tearing the bar.
    pub(crate) fn line(&self, text: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| say(text)),
            Self::Lines { .. } | Self::Silent => say(text),
        }
    }

    pub(crate) fn clear(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn files(progress: &Progress) -> String {
    let open = if progress.planned { "" } else { "+" };
    format!("{}/{}{open} files", progress.files_done, progress.files_total)
}

/// Bytes a second since the start; nothing in the first second, when a burst
/// into empty buffers would pass for a rate.
fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let elapsed = state.elapsed();
    if elapsed >= LINE_EVERY {
        let rate = u128::from(state.pos()) * 1_000 / elapsed.as_millis().max(1);
        let rate = units::bytes(u64::try_from(rate).unwrap_or(u64::MAX));
        let _ = write!(out, "{rate}/s");
    }
}

/// One line on stderr; a reader that went away is no reason to fail.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
