//! While there is no sidecar: lines wait for one, then they go to the
//! container's own log.

use std::time::Duration;

use osmo_protocol::socket::Frame;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::kept::line_bytes;
use super::{LINGER, Order, Talk, at};
use crate::complain;
use crate::log::{self, Stream};

/// How a sidecar's absence ended.
pub(super) enum Away {
    Back(UnixStream),
    GaveUp,
}

impl Talk {
    /// The new sidecar is told, before all lines, how many it does not get.
    pub(super) fn tell_spilled(&mut self) {
        let lines = std::mem::take(&mut self.spilled);
        if lines > 0 {
            self.kept.push_first(Frame::MessageOps(format!(
                "osmo-ctrl was away: {lines} lines are in this container's own log instead"
            )));
        }
    }

    /// Looks for a sidecar; lines are taken as far as there is room.
    pub(super) async fn away(&mut self) -> Away {
        if self.told.is_some() && self.kept.is_settled() {
            return Away::GaveUp;
        }
        let since = match self.away {
            Some(since) => since,
            None => {
                let seconds = self.peer.away_limit.as_secs();
                complain(&format!("the sidecar went away; its lines wait here for {seconds} s"));
                *self.away.insert(Instant::now())
            }
        };
        self.kept.begin_again();
        let mut late = false;
        let mut patience = since + self.peer.away_limit;
        let linger = self.told.map(|told| told + LINGER);
        let mut next = Instant::now() + self.backoff.wait();
        loop {
            let now = Instant::now();
            if self.kept.has_end() && (now >= patience || linger.is_some_and(|at| now >= at)) {
                return Away::GaveUp;
            }
            tokio::select! {
                frame = self.peer.frames.recv(), if !self.kept.is_full() => match frame {
                    Some(frame) => {
                        self.keep_for_later(frame);
                        if self.kept.has_end() {
                            patience = Instant::now() + self.peer.away_limit;
                        }
                    }
                    None => return Away::GaveUp,
                },
                () = log::room(), if late && self.kept.is_full() => self.spill(),
                () = sleep_until(next) => {
                    let dial = UnixStream::connect(&self.peer.socket);
                    if let Ok(Ok(stream)) = timeout(Duration::from_secs(1), dial).await {
                        return Away::Back(stream);
                    }
                    next = Instant::now() + self.backoff.wait();
                }
                () = at(linger) => {}
                () = sleep_until(patience), if late && self.kept.has_end() => {}
                () = sleep_until(since + self.peer.away_limit), if !late => {
                    late = true;
                    let _ = self.peer.orders.send(Order::Gone).await;
                }
            }
        }
    }

    /// Nobody hears now what is no line; a later sidecar is told the state.
    fn keep_for_later(&mut self, frame: Frame) {
        let is_end = matches!(frame, Frame::ExecFinished | Frame::ExecFailed { .. });
        if is_end || line_bytes(&frame).is_some() {
            self.kept.push(frame);
        }
    }

    fn spill(&mut self) {
        if let Some(line) = self.kept.spill() {
            own_log(line);
            self.spilled += 1;
        }
    }

    /// The same beside a sidecar that has nothing stored. It may have the line, and
    /// have it stored some time: it is told twice rather than not at all.
    pub(super) fn spill_beside(&mut self) {
        if let Some(line) = self.kept.spill_beside() {
            own_log(line);
            self.spilled += 1;
        }
    }

    /// Lines are stored again.
    pub(super) fn tell_stuck(&mut self) {
        let lines = std::mem::take(&mut self.spilled);
        if lines > 0 {
            self.kept.push(Frame::MessageOps(format!(
                "no line was taken for a while: {lines} lines are in this container's own log"
            )));
        }
    }

    /// The number of lines that are in the container's own log, where no sidecar
    /// was there to hear it.
    pub(super) fn tell_untold(&self) {
        if self.spilled > 0 {
            let lines = self.spilled;
            complain(&format!("the service was not told that {lines} lines are in this log only"));
        }
    }

    /// What nobody was told goes to the container's own log.
    pub(super) fn give_up(mut self) {
        if self.told.is_none() {
            complain("no sidecar came back; what it was not told follows");
            while let Some(line) = self.kept.spill() {
                self.spilled += u64::from(line_bytes(&line).is_some());
                own_log(line);
            }
        }
        self.tell_untold();
    }
}

/// Its log is never waited for.
fn own_log(frame: Frame) {
    match frame {
        Frame::MessageOut(line) => log::put(Stream::Out, line),
        Frame::MessageErr(text)
        | Frame::MessageOps(text)
        | Frame::ExecFailed { message: text, .. } => log::put(Stream::Err, text),
        _ => {}
    }
}
