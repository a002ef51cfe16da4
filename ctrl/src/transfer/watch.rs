//! Follows one order: tells how far it is, and begins it anew when it stands
//! still.

use std::time::Duration;

use osmo_engine::units::bytes;
use osmo_engine::{Error, ErrorKind, Progress, Report};
use osmo_protocol::events::{Phase, SidecarEvent};
use osmo_protocol::logger::LineType;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{Finished, Moving, Order, Transfers, Way};
use crate::lifecycle::cut_limit;
use crate::meters::{Direction, RetryReason};

/// Tries of one order; the original's number.
const TRIES_MAX: u32 = 5;
/// Between two looks: at most ten events a second.
const LOOK: Duration = Duration::from_millis(100);
/// Between two lines for people.
const LINE: Duration = Duration::from_secs(10);

/// Performs `order` to its end.
pub(super) async fn follow(
    transfers: &Transfers,
    order: &Order,
    line: LineType,
) -> osmo_engine::Result<Report> {
    let limit = transfers.flags.data_timeout;
    for attempt in 1..=TRIES_MAX {
        let way = Way {
            resume: attempt > 1 || transfers.resume,
            ledger: (order.phase == Phase::Upload).then(|| transfers.sent.sweep(&order.url)),
            gentle: false,
        };
        let (moving, finished) = transfers.mover.submit(order, way)?;
        match one(transfers, order, line, &Dropping(moving), finished).await {
            Some(result) => return result,
            None => {
                let text = format!(
                    "{} stands still for {} minutes, try {attempt} of {TRIES_MAX} ends",
                    order.name,
                    limit.as_secs() / 60
                );
                transfers.log.say(line, &text);
                transfers.log.meters().retried(RetryReason::Standstill, 1);
            }
        }
    }
    Err(Error::new(
        ErrorKind::Unreachable,
        format!("nothing moved for {} minutes (-dataTimeout)", limit.as_secs() / 60),
    ))
}

/// A transfer that is given up when nobody follows it any more.
struct Dropping(Box<dyn Moving>);

impl Drop for Dropping {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// One try; `None` when it stood still.
async fn one(
    transfers: &Transfers,
    order: &Order,
    line: LineType,
    moving: &Dropping,
    mut finished: Finished,
) -> Option<osmo_engine::Result<Report>> {
    let limit = transfers.flags.data_timeout;
    let mut cancelled = transfers.cancelled.clone();
    let direction = match order.phase {
        Phase::Download => Direction::In,
        _ => Direction::Out,
    };
    let mut meter = transfers.log.meters().transfer(direction, &order.url);
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut moved_at, mut told_at) =
        (Progress::default(), Instant::now(), Instant::now());
    let mut cut_at = None;
    loop {
        tokio::select! {
            result = &mut finished => {
                let progress = moving.0.progress();
                meter.see(&progress);
                tell(transfers, order, &progress);
                return Some(result);
            }
            _ = ticks.tick() => {}
            _ = cancelled.wait_for(|is| *is), if cut_at.is_none() => {
                cut_at = Some(Instant::now() + cut_limit(transfers.flags.grace));
                moving.0.cancel();
            }
            () = sleep_until(cut_at.unwrap_or(told_at)), if cut_at.is_some() => {
                let sentence = "it was cut, and the store did not answer in time";
                return Some(Err(Error::new(ErrorKind::Cancelled, sentence)));
            }
        }
        let progress = moving.0.progress();
        if progress != last {
            (last, moved_at) = (progress, Instant::now());
            meter.see(&progress);
            tell(transfers, order, &progress);
        }
        if told_at.elapsed() >= LINE {
            told_at = Instant::now();
            transfers.log.say(line, &words(order, &progress));
        }
        if moved_at.elapsed() >= limit {
            return None;
        }
    }
}

fn tell(transfers: &Transfers, order: &Order, progress: &Progress) {
    transfers.log.console().event(&SidecarEvent::Transfer {
        phase: order.phase,
        item: order.name.clone(),
        files_done: progress.files_done,
        files_total: progress.files_total,
        bytes_done: progress.bytes_done,
        bytes_total: progress.bytes_total,
    });
}

/// `name: 1.2 of 3.4 GiB, 12 of 30 files`
fn words(order: &Order, progress: &Progress) -> String {
    let open = if progress.planned { "" } else { " or more" };
    format!(
        "{}: {} of {}{open}, {} of {}{open} files",
        order.name,
        bytes(progress.bytes_done),
        bytes(progress.bytes_total),
        progress.files_done,
        progress.files_total,
    )
}
