//! The command's end, told.

use std::time::Duration;

use nix::sys::signal::Signal;
use osmo_protocol::socket::Frame;
use tokio::time::Instant;

use super::Agent;
use super::signals::Stop;
use crate::peer::{Order, at};

/// How long the end may still be told once the pod must go.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(5);

impl Agent<'_> {
    /// Tells the end and waits until it is heard; SIGHUP ends that at once,
    /// SIGTERM and SIGINT soon. A stop that comes so late is still answered.
    pub(super) async fn last_words(&mut self, signals: &mut Stop) -> u8 {
        let (code, frames) = (self.ended.code, self.frames.clone());
        self.outbox.push_back(match code {
            0 => Frame::ExecFinished,
            code => Frame::ExecFailed {
                message: format!("Command failed with error: {}\n", self.ended.sentence),
                code: Some(code.into()),
            },
        });
        let soon = Instant::now() + LAST_WORDS_LIMIT;
        let leave = self.leave.borrow().map(|leave| leave.max(soon));
        let mut deadline = self.hurry.or(leave);
        loop {
            tokio::select! {
                permit = frames.reserve(), if !self.outbox.is_empty() => {
                    let (Ok(permit), Some(frame)) = (permit, self.outbox.pop_front()) else {
                        return code;
                    };
                    permit.send(frame);
                }
                _ = &mut self.peer => return code,
                Some(order) = self.orders.recv() => {
                    if let Order::Frame(Frame::UserStop) = order {
                        self.tell(Frame::UserStopFinished);
                    }
                }
                signal = signals.next() => match signal {
                    Signal::SIGHUP => return code,
                    _ => {
                        let soon = Instant::now() + LAST_WORDS_LIMIT;
                        deadline = Some(deadline.map_or(soon, |before| before.min(soon)));
                    }
                },
                () = at(deadline) => return code,
            }
        }
    }
}
