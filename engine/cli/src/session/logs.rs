//! `osmo logs`: what a workflow's tasks print.
//!
//! ```text
//! GET …/logs ─► lines ─► Seen (what was printed is not printed again) ─► stdout
//!     ▲                    │ lost
//!     └── again ◄──────────┘
//! ```
//!
//! The service sends every line it has and goes on until the workflow ends.
//! Without `--follow` we leave when it has been silent for a moment.

mod seen;
mod stream;

use std::io::Write as _;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::asked_to_end;
use super::flags::Logs;
use super::service::{Service, encode};
use super::trouble::Trouble;
use crate::exit::Exit;
use crate::progress::say;
use seen::Seen;
use stream::{Lines, Next};

/// A service that has more lines does not pause for this long: it looks for
/// new ones every second.
const QUIET: Duration = Duration::from_millis(2_500);
/// The first line may take longer: old logs come out of an object store.
const FIRST: Duration = Duration::from_secs(10);
/// Waits between two tries grow up to this.
const AGAIN_MAX: Duration = Duration::from_secs(30);

pub(crate) async fn run(flags: Logs) -> Result<Exit, Trouble> {
    let service = Service::open(&flags.service)?;
    tokio::select! {
        ended = print(&service, &flags) => ended.map(|()| Exit::Success),
        _ = asked_to_end() => Ok(Exit::Interrupted),
    }
}

async fn print(service: &Service, flags: &Logs) -> Result<(), Trouble> {
    let mut seen = Seen::default();
    let mut wait = Duration::from_secs(1);
    let mut last = flags.last;
    loop {
        let lost = match Lines::open(service, &path(flags, last)).await {
            Ok(mut lines) => match attempt(&mut lines, flags.follow, &mut seen).await {
                End::Whole | End::Unread => return Ok(()),
                End::Lost(why) => {
                    wait = Duration::from_secs(1);
                    Trouble::Transient(format!("the log's connection was lost: {why}"))
                }
            },
            Err(trouble) => trouble,
        };
        // Nothing printed yet: the first answer decides.
        if !flags.follow || !lost.may_pass() || seen.is_empty() {
            return Err(lost);
        }
        say(&format!("osmo: {lost}; again in {} s", wait.as_secs()));
        sleep(wait).await;
        wait = (wait * 2).min(AGAIN_MAX);
        // From now on all lines are needed to know which were printed.
        last = None;
        seen.again();
    }
}

fn path(flags: &Logs, last: Option<u32>) -> String {
    let mut parameters = Vec::new();
    if let Some(last) = last {
        parameters.push(format!("last_n_lines={last}"));
    }
    if let Some(task) = &flags.task {
        parameters.push(format!("task_name={}", encode(task)));
    }
    if let Some(retry) = flags.retry_id {
        parameters.push(format!("retry_id={retry}"));
    }
    let what = if flags.error { "error_logs" } else { "logs" };
    let mark = if parameters.is_empty() { "" } else { "?" };
    format!("/api/workflow/{}/{what}{mark}{}", encode(&flags.workflow), parameters.join("&"))
}

enum End {
    /// The service has no more.
    Whole,
    /// Nobody reads our output any more.
    Unread,
    Lost(String),
}

async fn attempt(lines: &mut Lines, follow: bool, seen: &mut Seen) -> End {
    let mut patience = FIRST;
    loop {
        let next = match timeout(if follow { QUIET } else { patience }, lines.next()).await {
            Ok(next) => next,
            // What was sent again has been sent; the rest is new.
            Err(_) if follow => {
                if !write(seen.settle()) {
                    return End::Unread;
                }
                lines.next().await
            }
            Err(_) => Next::End,
        };
        patience = QUIET;
        let (fresh, end) = match next {
            Next::Line(line) => (seen.push(line), None),
            Next::End => (seen.settle(), Some(End::Whole)),
            Next::Lost(why) => (Vec::new(), Some(End::Lost(why))),
        };
        if !write(fresh) {
            return End::Unread;
        }
        if let Some(end) = end {
            return end;
        }
    }
}

/// False when nobody reads any more.
fn write(lines: Vec<Vec<u8>>) -> bool {
    if lines.is_empty() {
        return true;
    }
    let mut out = std::io::stdout().lock();
    lines.iter().all(|line| out.write_all(line).is_ok()) && out.flush().is_ok()
}
