//! What the sidecar says, and what the agent answers.

use std::time::Duration;

use osmo_protocol::socket::Frame;
use tokio::time::Instant;

use super::Agent;
use super::deeds::GRACE;
use crate::command::NOT_EXECUTABLE;
use crate::machine::Event;
use crate::peer::Order;

/// Own frames that wait for the connection; further answers are dropped.
const OUTBOX_MAX: usize = 256;

/// No pod goes so slowly.
const LEAVE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Kept of a sidecar's time to tell the end, at most.
const RESERVE_MAX: Duration = Duration::from_secs(5);

/// What of `seconds` is left to work in: a fifth is kept to tell the end.
fn left(seconds: u64) -> Duration {
    let all = Duration::from_secs(seconds).min(LEAVE_MAX);
    all - (all / 5).min(RESERVE_MAX)
}

impl Agent<'_> {
    pub(super) fn obey(&mut self, order: Order) {
        let frame = match order {
            Order::Frame(frame) => frame,
            Order::Gone => return self.happen(Event::SidecarGone),
        };
        match frame {
            Frame::ExecStart { output_folder } => {
                self.output_folder = output_folder.into();
                self.happen(Event::Start);
            }
            Frame::CtrlFailed => self.happen(Event::CtrlFailed),
            Frame::Terminate { seconds } => {
                self.leave_by(Instant::now() + seconds.map_or(GRACE, left));
                self.happen(Event::Terminate);
            }
            Frame::UserStop => self.happen(Event::Stop),
            Frame::UserStart => self.happen(Event::Resume),
            Frame::UserExecStart { command, session } => self.open_terminal(command, session),
            Frame::PortForward { port } => {
                let answer = self.probes.ask(port);
                answer.into_iter().for_each(|frame| self.tell(frame));
            }
            _ => {}
        }
    }

    fn open_terminal(&mut self, command: String, session: Option<u64>) {
        let sentence = match &mut self.terminals {
            Some(terminals) => terminals.open(command, session).err(),
            None => Some("a terminal was refused: the task's command has ended".to_owned()),
        };
        if let Some(sentence) = sentence {
            self.tell(Frame::MessageOps(sentence));
            if let Some(session) = session {
                let code = NOT_EXECUTABLE.into();
                self.tell(Frame::TerminalEnded { session, code });
            }
        }
    }

    /// Puts an own frame behind the others.
    pub(super) fn tell(&mut self, frame: Frame) {
        if self.outbox.len() < OUTBOX_MAX {
            self.outbox.push_back(frame);
        }
    }
}
