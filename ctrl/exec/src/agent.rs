//! The agent's life: dial, then one loop that asks the machine what each event
//! means and does it. The loop never waits for the sidecar, which may wait for
//! the loop.

mod beside;
mod deeds;
mod finish;
mod last;
mod orders;
mod signals;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use osmo_protocol::flags::USAGE_EXIT;
use osmo_protocol::layout;
use osmo_protocol::socket::{AgentState, Frame};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::flags::Flags;
use crate::machine::{Event, State};
use crate::peer::{FRAMES_QUEUED_MAX, Order, Peer, at};
use crate::probe::Probes;
use crate::reaper::{Ended, Process, Reaper};
use crate::terminal::Terminals;
use crate::{complain, dial, orphans, prepare};
use beside::Beside;
use signals::{Signals, Stop};

/// The code of an agent whose sidecar went away before the start.
pub(crate) const GONE: u8 = USAGE_EXIT;
/// Orders that wait for the loop.
const ORDERS_QUEUED_MAX: usize = 64;

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
    beside: Option<Beside>,
    /// Somebody asked for an end, by this time.
    leave: watch::Sender<Option<Instant>>,
    /// Everybody was killed: the end is told until then at most.
    hurry: Option<Instant>,
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
            beside: None,
            leave: watch::Sender::new(None),
            hurry: None,
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
            let overdue = self.overdue();
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
                () = at(overdue) => self.happen(Event::Overdue),
                () = at(self.hurry) => self.exit = Some(Exit::Now(self.ended.code)),
                permit = frames.reserve(), if !self.outbox.is_empty() => {
                    if let (Ok(permit), Some(frame)) = (permit, self.outbox.pop_front()) {
                        permit.send(frame);
                    }
                }
            }
        };
        // However it leaves: nothing stays behind.
        self.reaper.end();
        code
    }

    /// When a command that was asked to end is killed.
    fn overdue(&self) -> Option<Instant> {
        let waits = self.state == State::Leaving && self.hurry.is_none();
        waits.then(|| *self.leave.borrow()).flatten()
    }
}
