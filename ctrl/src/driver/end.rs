//! The end: the message first, then goodbyes, each within its limit, and the
//! count of what is still held.

use std::sync::Arc;
use std::time::Duration;

use osmo_protocol::events::Left;
use osmo_protocol::socket::Frame;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout, timeout_at};

use super::Driver;
use crate::account::Ending;
use crate::lifecycle::{Failure, State};
use crate::local::CommandCode;
use crate::{left, write_termination};

/// How long the last order may take; an agent that looks for us comes within a
/// second.
const RELEASE_LIMIT: Duration = Duration::from_secs(2);
/// How long everything after the termination message may take.
const FAREWELL_LIMIT: Duration = Duration::from_secs(30);
/// What the engine's threads get to end even when the time is up; none may have
/// been started.
const BREATH: Duration = Duration::from_millis(20);

impl Driver {
    /// Dropped lines are told to the service with its next answer; where none came
    /// the container's own log has their number, and the message if there is one.
    fn tell_dropped(&self, state: &mut State) {
        let count = self.outbox.backlog().untold;
        if count == 0 {
            return;
        }
        let clause = format!("{count} lines were dropped while the service took none");
        self.log.console().warn(&clause);
        if let Some(failure) = &mut state.failure {
            failure.sentence = format!("{}; {clause}", failure.sentence);
        }
    }

    /// The message first: a kill may come before the goodbyes are over.
    pub(super) async fn finish(mut self, mut state: State) -> Result<(), Failure> {
        self.tell_dropped(&mut state);
        write_termination(&self.flags.termination_log, state.failure.as_ref());
        let limit = state.farewell(self.account.now()).unwrap_or(FAREWELL_LIMIT);
        let until = Instant::now() + limit.min(FAREWELL_LIMIT);
        self.farewell(until).await;
        let seats = self.sessions.take().map_or(0, |sessions| sessions.seats());
        for task in self.tasks {
            end(task).await;
        }
        drop((self.health, self.watch));
        let CommandCode(code) = *self.code.borrow();
        self.memory.forget();
        // Its threads end within moments, or hang for good: then they tell.
        let mover = Arc::clone(&self.mover);
        let limit = until.min(Instant::now() + RELEASE_LIMIT).max(Instant::now() + BREATH);
        let ended = timeout_at(limit, spawn_blocking(move || mover.end())).await;
        let buffers = ended.map_or(Ok(1), |ended| ended).map_or(1, |left| left as u64);
        let meters = self.log.meters();
        let backlog = self.outbox.backlog();
        let counted = left::count(meters, self.account.files()).await;
        let left = Left { seats, lines: backlog.lines, buffers, ..counted };
        left::tell(&left, self.log.console());
        let gpu = meters.with_gpus(|seen| seen.summary());
        let (io_driver, left_behind) = (self.mover.driver(), left::behind(&*self.mover));
        let ending = Ending {
            command_code: code,
            io_driver,
            gpu,
            left,
            lines_dropped: backlog.dropped,
            left_behind,
        };
        self.account.finish(state.failure.as_ref(), ending);
        state.failure.map_or(Ok(()), Err)
    }

    /// Ends the sessions and the agent's connection; what is not over at `until`
    /// is ended there.
    async fn farewell(&mut self, until: Instant) {
        let (orders, _) = mpsc::channel(1);
        let orders = std::mem::replace(&mut self.orders, orders);
        let goodbyes = async {
            if let Some(sessions) = &self.sessions {
                sessions.shutdown().await;
            }
            // Lines that it is not told of would make the agent wait for another
            // sidecar.
            let lines = *self.outbox.stored().borrow();
            let _ = timeout(RELEASE_LIMIT, orders.send(Frame::LinesStored { lines })).await;
            // No more orders: the connection ends with the last one written.
            drop(orders);
            if let Some(local) = &mut self.local {
                let _ = timeout(RELEASE_LIMIT, local).await;
            }
        };
        let _ = timeout_at(until, goodbyes).await;
        if let Some(local) = self.local.take().filter(|local| !local.is_finished()) {
            end(local).await;
        }
    }
}

/// Ends a task that would not by itself.
async fn end(task: JoinHandle<()>) {
    task.abort();
    let _ = task.await;
}
