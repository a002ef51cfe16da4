//! Does what the machine says.

use std::time::Duration;

use nix::sys::signal::Signal;
use osmo_protocol::socket::Frame;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::beside::Beside;
use super::finish::Finish;
use super::{Agent, Exit, GONE, News};
use crate::command::{Running, StartError};
use crate::machine::{Effect, Event};
use crate::reaper::Ended;
use crate::{complain, stream, tree};

/// What a pod has from SIGTERM to its end, less some time to tell it, where
/// nobody says how long.
pub(super) const GRACE: Duration = Duration::from_secs(25);
/// What is left to tell the end once everybody was killed.
const HURRY: Duration = Duration::from_secs(1);
/// What a command's filters have to end its lines once it is dead.
const FILTERS: Duration = Duration::from_secs(1);

impl Agent<'_> {
    /// Asks the machine what `event` means.
    pub(super) fn happen(&mut self, event: Event) {
        if matches!(event, Event::Signal(_)) {
            self.leave_by(Instant::now() + GRACE);
        }
        let (state, effects) = self.state.step(event);
        self.state = state;
        self.told_state.send_replace(state.told());
        for effect in effects {
            self.perform(effect);
        }
    }

    /// The pod must go by `instant`, or by an earlier one that was told.
    pub(super) fn leave_by(&self, instant: Instant) {
        self.leave.send_if_modified(|leave| {
            let is_earlier = leave.is_none_or(|before| instant < before);
            *leave = leave.filter(|_| !is_earlier).or(Some(instant));
            is_earlier
        });
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Start => self.start(),
            Effect::Signal(signal) => {
                if let Some(command) = &self.command {
                    command.signal_group(signal);
                }
            }
            Effect::EndAll => {
                self.ended = Ended::signal(Signal::SIGKILL as i32);
                self.reaper.end();
                self.hurry = self.hurry.or(Some(Instant::now() + HURRY));
            }
            Effect::TellStopped => self.tell(Frame::UserStopFinished),
            Effect::Finish => self.finish(),
            Effect::FinishBy(signal) => {
                self.ended = Ended::signal(signal as i32);
                self.finish();
            }
            Effect::Exit(code) => {
                if code == GONE {
                    complain("the sidecar went away before the start");
                }
                self.exit = Some(Exit::Now(code));
            }
            Effect::Abandon => self.exit = Some(Exit::Now(self.ended.code)),
        }
    }

    /// Starts the command; its end, or that it cannot start, follows as news.
    fn start(&mut self) {
        tree::shortcuts(&self.output_folder);
        // A command that is started again finds them still there.
        self.beside.get_or_insert_with(|| {
            let (frames, leave) = (self.frames.clone(), self.leave.subscribe());
            Beside::begin(self.flags, self.stage, &self.reaper, frames, leave)
        });
        match Running::start(self.flags, self.stage, &self.reaper) {
            Ok(running) => {
                self.command = Some(running.process.clone());
                tokio::spawn(watch_command(running, self.frames.clone(), self.newsroom.clone()));
            }
            Err(StartError { code, sentence }) => {
                self.tell(Frame::MessageErr(sentence));
                let newsroom = self.newsroom.clone();
                tokio::spawn(async move { newsroom.send(News::Ended(Ended::exit(code))).await });
            }
        }
    }

    /// Tidies up beside the loop: a final checkpoint may take its time.
    fn finish(&mut self) {
        let finish = Finish {
            beside: self.beside.take(),
            terminals: self.terminals.take(),
            reaper: self.reaper.clone(),
            output_folder: self.output_folder.clone(),
        };
        let newsroom = self.newsroom.clone();
        tokio::spawn(async move {
            finish.run().await;
            let _ = newsroom.send(News::Finished).await;
        });
    }
}

/// Relays the command's lines; its end is told once they are.
async fn watch_command(running: Running, frames: mpsc::Sender<Frame>, news: mpsc::Sender<News>) {
    let Running { process, mut end, stdout, stderr } = running;
    let (over, is_over) = watch::channel(false);
    let relay =
        |pipe, frame| tokio::spawn(stream::relay(pipe, frame, frames.clone(), is_over.clone()));
    let mut out = relay(stdout.into(), Frame::MessageOut);
    let mut err = relay(stderr.into(), Frame::MessageErr);
    end.dead().await;
    // A filter in its group, as `tee` is, may still hold the last lines.
    let both = async { tokio::join!(&mut out, &mut err) };
    let is_told = timeout(FILTERS, both).await.is_ok();
    process.bury();
    let ended = end.wait().await;
    let _ = over.send(true);
    if !is_told {
        for stream in [out, err].into_iter().filter(|stream| !stream.is_finished()) {
            let _ = stream.await;
        }
    }
    let _ = news.send(News::Ended(ended)).await;
}
