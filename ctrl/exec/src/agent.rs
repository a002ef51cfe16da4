//! The agent's life: dial, then one loop that asks the machine what each event
//! means and does it. The loop never waits for the sidecar, which may wait for
//! the loop.

mod finish;
mod signals;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use osmo_protocol::flags::USAGE_EXIT;
use osmo_protocol::layout;
use osmo_protocol::socket::{AgentState, Frame};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::command::{Running, StartError};
use crate::flags::Flags;
use crate::machine::{Effect, Event, State};
use crate::peer::{FRAMES_QUEUED_MAX, Order, Peer};
use crate::probe::Probes;
use crate::reaper::{Ended, Process, Reaper};
use crate::terminal::Terminals;
use crate::{complain, dial, orphans, prepare, stream, tree};
use finish::Finish;
use signals::{Signals, Stop};

/// The code of an agent whose sidecar went away before the start.
pub(crate) const GONE: u8 = USAGE_EXIT;
/// Orders that wait for the loop.
const ORDERS_QUEUED_MAX: usize = 64;
/// Own frames that wait for the connection; further answers are dropped.
const OUTBOX_MAX: usize = 256;

/// Runs until the command has ended; returns the exit code.
pub(crate) async fn run(flags: &Flags, stage: &[OsString]) -> u8 {
    orphans::adopt();
    let reaper = Reaper::default();
    let mut signals = match Signals::listen(&reaper) {
        Ok(signals) => signals,
        Err(error) => return fault(&format!("cannot listen for signals: {error}")),
    };
    prepare::prepare(flags);
    let stream = tokio::select! {
        stream = dial::dial(&flags.socket, flags.dial_limit) => match stream {
            Ok(stream) => stream,
            Err(sentence) => return fault(&sentence),
        },
        signal = signals.next() => return Ended::signal(signal as i32).code,
    };
    let token = take_token(&flags.socket);
    Agent::new(flags, stage, reaper, &token, stream).live(signals).await
}

fn fault(sentence: &str) -> u8 {
    complain(sentence);
    USAGE_EXIT
}

/// Reads the handoff token and deletes it: the sidecar, which answers, has read
/// it, and nothing that runs later in this container needs it.
fn take_token(socket: &Path) -> String {
    let path = layout::handoff_beside(socket);
    let token = std::fs::read_to_string(&path).unwrap_or_default();
    let _ = std::fs::remove_file(&path);
    token
}

/// What a task of the agent's own tells the loop.
enum News {
    /// The command ended and its lines are told.
    Ended(Ended),
    /// Everything is tidied up.
    Finished,
}

/// The command and everybody who talks about it.
struct Agent<'a> {
    flags: &'a Flags,
    stage: &'a [OsString],
    reaper: Reaper,
    state: State,
    told_state: watch::Sender<AgentState>,
    orders: mpsc::Receiver<Order>,
    frames: mpsc::Sender<Frame>,
    outbox: VecDeque<Frame>,
    peer: JoinHandle<()>,
    news: mpsc::Receiver<News>,
    newsroom: mpsc::Sender<News>,
    terminals: Option<Terminals>,
    probes: Probes,
    output_folder: PathBuf,
    command: Option<Process>,
    ended: Ended,
    exit: Option<Exit>,
}

/// How the agent leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Once the command's end is told.
    Told,
    /// At once.
    Now(u8),
}

impl<'a> Agent<'a> {
    fn new(
        flags: &'a Flags,
        stage: &'a [OsString],
        reaper: Reaper,
        token: &str,
        stream: UnixStream,
    ) -> Self {
        let (frames, queue) = mpsc::channel(FRAMES_QUEUED_MAX);
        let (order, orders) = mpsc::channel(ORDERS_QUEUED_MAX);
        let (newsroom, news) = mpsc::channel(2);
        let (told_state, state) = watch::channel(AgentState::default());
        let peer = Peer {
            socket: flags.socket.clone(),
            token: token.to_owned(),
            away_limit: flags.away_limit,
            state,
            frames: queue,
            orders: order,
        };
        let terminals = Terminals::new(flags, token, stage, reaper.clone(), frames.clone());
        Self {
            flags,
            stage,
            reaper,
            state: State::Waiting,
            told_state,
            orders,
            outbox: VecDeque::new(),
            peer: tokio::spawn(peer.serve(stream)),
            news,
            newsroom,
            terminals: Some(terminals),
            probes: Probes::new(frames.clone()),
            frames,
            output_folder: PathBuf::new(),
            command: None,
            ended: Ended::exit(0),
            exit: None,
        }
    }

    async fn live(mut self, mut signals: Stop) -> u8 {
        let frames = self.frames.clone();
        let code = loop {
            match self.exit {
                Some(Exit::Now(code)) => break code,
                Some(Exit::Told) => break self.last_words(&mut signals).await,
                None => {}
            }
            tokio::select! {
                Some(order) = self.orders.recv() => self.obey(order),
                Some(news) = self.news.recv() => match news {
                    News::Ended(ended) => {
                        self.ended = ended;
                        self.happen(Event::CommandEnded);
                    }
                    News::Finished => self.exit = Some(Exit::Told),
                },
                signal = signals.next() => self.happen(Event::Signal(signal)),
                permit = frames.reserve(), if !self.outbox.is_empty() => {
                    if let (Ok(permit), Some(frame)) = (permit, self.outbox.pop_front()) {
                        permit.send(frame);
                    }
                }
            }
        };
        if let Some(command) = &self.command {
            command.signal_group(Signal::SIGKILL);
        }
        code
    }

    fn obey(&mut self, order: Order) {
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
            Frame::Terminate => self.happen(Event::Terminate),
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
                let code = crate::command::NOT_EXECUTABLE.into();
                self.tell(Frame::TerminalEnded { session, code });
            }
        }
    }

    fn happen(&mut self, event: Event) {
        let (state, effects) = self.state.step(event);
        self.state = state;
        self.told_state.send_replace(state.told());
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Start => self.start(),
            Effect::Signal(signal) => {
                if let Some(command) = &self.command {
                    command.signal_group(signal);
                }
            }
            Effect::TellStopped => self.tell(Frame::UserStopFinished),
            Effect::Finish => self.finish(),
            Effect::FinishBy(signal) => {
                self.ended = Ended::signal(signal as i32);
                self.finish();
            }
            Effect::Exit(code) => {
                if code == GONE && self.state == State::Ended {
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

    fn tell(&mut self, frame: Frame) {
        if self.outbox.len() < OUTBOX_MAX {
            self.outbox.push_back(frame);
        }
    }

    /// Tells the end and waits until it is heard; SIGHUP cuts that short. A
    /// stop that comes so late is still answered.
    async fn last_words(&mut self, signals: &mut Stop) -> u8 {
        let (code, frames) = (self.ended.code, self.frames.clone());
        self.outbox.push_back(match code {
            0 => Frame::ExecFinished,
            code => Frame::ExecFailed {
                message: format!("Command failed with error: {}\n", self.ended.sentence),
                code: Some(code.into()),
            },
        });
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
                signal = signals.next() => if signal == Signal::SIGHUP {
                    return code;
                },
            }
        }
    }
}

/// Relays the command's lines; its end is told once they are.
async fn watch_command(running: Running, frames: mpsc::Sender<Frame>, news: mpsc::Sender<News>) {
    let Running { process: _, mut end, stdout, stderr } = running;
    let (over, is_over) = watch::channel(false);
    let relay =
        |pipe, frame| tokio::spawn(stream::relay(pipe, frame, frames.clone(), is_over.clone()));
    let streams =
        [relay(stdout.into(), Frame::MessageOut), relay(stderr.into(), Frame::MessageErr)];
    let ended = end.wait().await;
    let _ = over.send(true);
    for stream in streams {
        let _ = stream.await;
    }
    let _ = news.send(News::Ended(ended)).await;
}
