//! The one task that owns the lifecycle: it selects events, steps the machine
//! and performs its effects.
//!
//! [`moves`] has the transfers, [`end`] what follows the last effect.

mod end;
mod moves;

use std::sync::Arc;
use std::time::Duration;

use osmo_link::Network;
use osmo_protocol::events::Phase;
use osmo_protocol::exit::ExitCode;
use osmo_protocol::items::{Input, Output};
use osmo_protocol::logger::LineType;
use osmo_protocol::socket::Frame;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::account::{Account, Ending};
use crate::console::Console;
use crate::flags::Flags;
use crate::health::{self, Health};
use crate::lifecycle::{Effect, Event, Failure, State, step};
use crate::local::agent::Agent;
use crate::local::{CommandCode, Local, Orders};
use crate::logs::Log;
use crate::service::link::{Link, Means};
use crate::service::outbox::Outbox;
use crate::service::token::Tokens;
use crate::service::{self, Address};
use crate::session::Sessions;
use crate::signal;
use crate::state::{Memory, Saved};
use crate::trace;
use crate::transfer::Mover;
use crate::transfer::engine::EngineMover;
use crate::transfer::outputs::Watch;
use crate::{gpu, guard, write_termination};
use moves::Done;

/// Events that wait for the driver.
const EVENTS_MAX: usize = 64;
/// Orders that wait for the agent: one of each kind; and as many questions of
/// the sessions, which wait for room.
const ORDERS_MAX: usize = 8;
/// Between two words to the agent about its lines.
const STORED_PAUSE: Duration = Duration::from_millis(50);

/// The parsed items.
#[derive(Default)]
struct Items {
    inputs: Vec<Input>,
    outputs: Vec<Output>,
}

/// Lives a task's life; returns why it failed, if it did.
pub(crate) async fn run(flags: Flags) -> Result<(), Failure> {
    let trace = trace::from_environment();
    let console = Console::new(flags.events_json).in_trace(trace);
    let account = Account::new(console);
    let outbox = Arc::new(Outbox::new(flags.logs_buffer));
    let log = Log::new(&flags.task, Arc::clone(&outbox), console);
    // Without these nobody can be told.
    let reach = Address::of(&flags)
        .and_then(|address| Ok((address, service::network(&flags, trace, &log)?)));
    let (address, network) = match reach {
        Ok(reach) => reach,
        Err(failure) => {
            write_termination(&flags.termination_log, Some(&failure));
            account.finish(Some(&failure), Ending::default());
            return Err(failure);
        }
    };
    let mover = Arc::new(EngineMover::new(&flags, log.clone()));
    let memory = Memory::open(&flags, &log);
    // What is wrong with the items is told to the service as well.
    let (items, fault) = match items(&flags) {
        Ok(items) => (items, None),
        Err(failure) => (Items::default(), Some(failure)),
    };
    let driver = Driver::new(flags, items, log, outbox, (mover, memory), account);
    driver.live(address, network, fault).await
}

fn items(flags: &Flags) -> Result<Items, Failure> {
    let invalid = |error: osmo_protocol::items::ItemError| {
        Failure::new(ExitCode::InvalidInput, error.to_string())
    };
    let inputs = flags.inputs.iter().map(|text| text.parse().map_err(invalid));
    let outputs = flags.outputs.iter().map(|text| text.parse().map_err(invalid));
    Ok(Items {
        inputs: inputs.collect::<Result<_, _>>()?,
        outputs: outputs.collect::<Result<_, _>>()?,
    })
}

/// Everything the effects touch.
struct Driver {
    flags: Arc<Flags>,
    items: Items,
    log: Log,
    outbox: Arc<Outbox>,
    mover: Arc<dyn Mover>,
    account: Account,
    /// What a sidecar that is started again must know.
    memory: Memory,
    /// Follows the output folder while the command runs.
    watch: Option<Watch>,
    events: mpsc::Sender<Event>,
    inbox: mpsc::Receiver<Event>,
    /// Results of transfers, before they become events.
    transferred: (mpsc::Sender<Done>, mpsc::Receiver<Done>),
    /// The lifecycle's, which go before what the sessions ask.
    orders: mpsc::Sender<Frame>,
    asks: mpsc::Sender<Frame>,
    ends: Option<Orders>,
    /// The agent's connection.
    local: Option<JoinHandle<()>>,
    sessions: Option<Sessions>,
    cancel: watch::Sender<bool>,
    /// Phases of transfers under way.
    moving: watch::Sender<u32>,
    code: watch::Sender<CommandCode>,
    health: Option<Health>,
    /// Tasks that live as long as the driver.
    tasks: Vec<JoinHandle<()>>,
}

impl Driver {
    fn new(
        flags: Flags,
        items: Items,
        log: Log,
        outbox: Arc<Outbox>,
        (mover, memory): (Arc<dyn Mover>, Memory),
        account: Account,
    ) -> Self {
        let code = watch::Sender::new(CommandCode(memory.saved().command_code));
        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        let (orders, first) = mpsc::channel(ORDERS_MAX);
        let (asks, then) = mpsc::channel(ORDERS_MAX);
        Self {
            flags: Arc::new(flags),
            items,
            log,
            outbox,
            mover,
            account,
            memory,
            watch: None,
            events,
            inbox,
            transferred: mpsc::channel(1),
            orders,
            asks,
            ends: Some(Orders { first, then }),
            local: None,
            sessions: None,
            cancel: watch::Sender::new(false),
            moving: watch::Sender::new(0),
            code,
            health: None,
            tasks: Vec::new(),
        }
    }

    /// From the first connection to the last word.
    async fn live(
        mut self,
        address: Address,
        network: Network,
        fault: Option<Failure>,
    ) -> Result<(), Failure> {
        let Saved { reached, .. } = *self.memory.saved();
        let mut state = State::new(!self.flags.barrier.is_empty())
            .with_grace(self.flags.grace)
            .resumed(reached, self.memory.failure());
        let opened = self.open(address, network);
        if let Err(failure) = fault.map_or(opened, Err) {
            let _ = self.events.try_send(Event::AgentLost(failure));
        }
        loop {
            let event = self.next_event(&state).await;
            let (next, effects) = step(state, event, self.account.now());
            state = next;
            let CommandCode(code) = *self.code.borrow();
            self.memory.keep(state.reached, state.failure.as_ref(), code);
            for effect in effects {
                if effect == Effect::Finish {
                    return self.finish(state).await;
                }
                self.perform(effect);
            }
        }
    }

    /// Starts everybody who sends events.
    fn open(&mut self, address: Address, network: Network) -> Result<(), Failure> {
        let (flags, log, events) = (&self.flags, self.log.clone(), self.events.clone());
        let outbox = Arc::clone(&self.outbox);
        let tokens = Tokens::new(network.clone(), address.clone(), flags.refresh_token.clone());
        let (agent, answers) = Agent::new(&self.asks, flags.exec_timeout);
        let stored = tokio::spawn(tell_stored(outbox.stored(), agent.clone()));
        let sessions = Sessions::new(flags, network.clone(), tokens.clone(), log.clone(), agent);
        self.sessions = Some(sessions.clone());
        let means = Means { network, tokens, sessions };
        let link = Link::new(flags, address, means, log.clone(), outbox, events.clone());
        let link = guard::spawn(events.clone(), Event::LinkLost, link.run());
        self.tasks.extend([stored, link, signal::listen(events.clone())?]);
        let local = Local::listen(&flags.socket, flags.agent_timeout, log, events, answers)?
            .remembering(self.memory.saved().token.clone());
        if let Some(orders) = self.ends.take() {
            let serve = local.serve(orders, self.code.clone());
            self.local = Some(guard::spawn(self.events.clone(), Event::AgentLost, serve));
        }
        let (meters, outbox) = (self.log.meters().clone(), Arc::clone(&self.outbox));
        self.health = Health::open(&self.flags.health, meters, outbox, self.log.console())?;
        Ok(())
    }

    async fn next_event(&mut self, state: &State) -> Event {
        self.log.meters().beat();
        let due = state.deadline.map(|deadline| deadline.saturating_sub(self.account.now()));
        let due = Instant::now() + due.unwrap_or_default();
        tokio::select! {
            event = self.inbox.recv() => event.unwrap_or(Event::Tick),
            done = self.transferred.1.recv() => match done {
                Some(done) => self.settle(done),
                None => Event::Tick,
            },
            () = sleep_until(due), if state.deadline.is_some() => Event::Tick,
            () = sleep(health::BEAT), if self.health.is_some() => Event::Tick,
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Enter(phase) => {
                self.log.meters().enter(phase);
                self.account.enter(phase);
                if phase == Phase::Run {
                    self.mover.rest();
                    gpu::watch(self.log.meters());
                    self.watch = Some(Watch::begin(self.transfers(), &self.items.outputs));
                }
            }
            Effect::StartDownload => self.transfer(Phase::Download),
            Effect::StartUpload => self.transfer(Phase::Upload),
            Effect::CancelTransfers => {
                self.cancel.send_replace(true);
            }
            Effect::SendBarrier => self.log.barrier(&self.flags.barrier),
            Effect::StartCommand => {
                let output_folder = self.flags.output_folder.display().to_string();
                self.order(Frame::ExecStart { output_folder });
            }
            Effect::StopCommand => {
                // The command's share, as the lifecycle has it.
                let seconds = Some((self.flags.grace / 2).as_secs());
                self.order(Frame::Terminate { seconds });
            }
            Effect::PauseCommand => self.order(Frame::UserStop),
            Effect::ResumeCommand => self.order(Frame::UserStart),
            Effect::ReleaseAgent => self.order(Frame::CtrlFailed),
            Effect::Say(text) => self.log.say(LineType::OsmoCtrl, &text),
            Effect::Drain => {
                let (outbox, events) = (Arc::clone(&self.outbox), self.events.clone());
                let sessions = self.sessions.clone();
                let mut moving = self.moving.subscribe();
                self.tasks.push(tokio::spawn(async move {
                    // What they moved is told by their ends, before the last line.
                    if let Some(sessions) = sessions {
                        sessions.shutdown().await;
                    }
                    let _ = moving.wait_for(|phases| *phases == 0).await;
                    outbox.drained().await;
                    let _ = events.send(Event::Drained).await;
                }));
            }
            Effect::Finish => {}
        }
    }

    fn order(&self, frame: Frame) {
        // Full only when the agent reads nothing, and then nothing helps.
        let _ = self.orders.try_send(frame);
    }
}

/// Tells the agent which of its lines it need not keep, a few times a second at
/// most: the number counts from the begin, so the last one says it all.
async fn tell_stored(mut stored: watch::Receiver<u64>, agent: Agent) {
    while stored.changed().await.is_ok() {
        let lines = *stored.borrow_and_update();
        agent.stored(lines).await;
        sleep(STORED_PAUSE).await;
    }
}
