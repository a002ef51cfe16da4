//! The task's life, as a pure machine: [`step`] takes a state, an event and the
//! time, and answers with the next state and what to do. It awaits nothing and
//! touches nothing; the driver (`driver.rs`) selects events and performs
//! effects.
//!
//! ```text
//!  Init ──agent and service──► Download ──inputs──►(Barrier)──► Run ──end──► Upload
//!   │                             │                   │          │             │
//!   │         failure, SIGTERM    │                   │     SIGTERM, service   │
//!   └─────────────┬───────────────┴───────────────────┘     lost: Stopping     │
//!                 │                                          └─end or 30 s─►   │
//!                 ▼  agent told to exit quietly                                ▼
//!               Drain ◄────────────────────────────────────────────── saved or failed
//!                 │ lines acknowledged, or the time is up
//!                 ▼
//!                End:  Done | Failed
//! ```
//!
//! Invariants: the first failure is the one that is reported; outputs are
//! uploaded whenever the command was started; every failure is said in the log
//! before the end; after End nothing happens any more.

use std::time::Duration;

use osmo_protocol::events::Phase;
use osmo_protocol::exit::ExitCode;
use osmo_protocol::socket::AgentState;

/// How long the command may take to end once it was asked to.
pub const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long the last lines may take when the pod must go.
pub const DRAIN_LIMIT_STOPPING: Duration = Duration::from_secs(10);
/// How long the last lines may take after a failure.
pub const DRAIN_LIMIT_FAILED: Duration = Duration::from_secs(300);
/// After how long the barrier is asked for again.
pub const BARRIER_REPEAT: Duration = Duration::from_secs(300);

/// Why the sidecar ends with a code, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub code: ExitCode,
    /// Cause and remedy.
    pub sentence: String,
}

impl Failure {
    /// A failure.
    pub fn new(code: ExitCode, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into() }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The agent is here.
    AgentConnected,
    /// The agent is gone without having told the command's end.
    AgentLost(Failure),
    /// The service is here, for the first time.
    LinkUp,
    /// The service is gone for good, or refuses us.
    LinkLost(Failure),
    /// Every input is in place.
    InputsReady,
    /// An input is not.
    InputsFailed(Failure),
    /// The group is complete.
    BarrierPassed,
    /// The command ended, well or not, and every line of it is queued.
    CommandEnded,
    /// The service wants the command started again.
    Restart,
    /// The command was stopped in order to be started again.
    CommandStopped,
    /// Where the command is, from an agent that dialled (again).
    AgentState(AgentState),
    /// Every output is in the store.
    OutputsSaved,
    /// An output is not.
    OutputsFailed(Failure),
    /// The service has acknowledged every line.
    Drained,
    /// SIGTERM or SIGINT.
    Terminate,
    /// Time went by; at the latest at [`State::deadline`].
    Tick,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell the outside which phase this is.
    Enter(Phase),
    /// Begin to download.
    StartDownload,
    /// Give up what moves.
    CancelTransfers,
    /// Ask for the group's barrier.
    SendBarrier,
    /// Tell the agent to start the command.
    StartCommand,
    /// Tell the agent to stop it.
    StopCommand,
    /// Tell the agent to stop it in order to start it again.
    PauseCommand,
    /// Tell the agent to start it again.
    ResumeCommand,
    /// Tell the agent that there will be no start.
    ReleaseAgent,
    /// Begin to upload.
    StartUpload,
    /// A line of our own.
    Say(String),
    /// Report `Drained` once every line is acknowledged.
    Drain,
    /// The end.
    Finish,
}

/// Where the task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Waiting for agent and service.
    Init {
        /// The agent is here.
        agent: bool,
        /// The service is here.
        link: bool,
    },
    /// Inputs are moving.
    Download,
    /// Waiting for the group.
    Barrier,
    /// The command runs.
    Run,
    /// The command was asked to end.
    Stopping,
    /// Outputs are moving.
    Upload,
    /// Waiting for the last acknowledgement.
    Drain,
    /// Over.
    End,
}

/// The machine's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where the task is.
    pub step: Step,
    /// The first failure.
    pub failure: Option<Failure>,
    /// When to send [`Event::Tick`], measured like `now`.
    pub deadline: Option<Duration>,
    barrier: bool,
    stopping: bool,
    link_lost: bool,
}

impl State {
    /// A task that has not begun; `barrier` when it waits for its group.
    pub fn new(barrier: bool) -> Self {
        Self {
            step: Step::Init { agent: false, link: false },
            failure: None,
            deadline: None,
            barrier,
            stopping: false,
            link_lost: false,
        }
    }

    fn started(&self) -> bool {
        matches!(self.step, Step::Run | Step::Stopping | Step::Upload)
    }

    /// Keeps the first failure; a later one is only said.
    fn fail(&mut self, failure: Failure) -> Effect {
        let said = Effect::Say(failure.sentence.clone());
        self.failure.get_or_insert(failure);
        said
    }
}

mod step;

pub use step::step;

#[cfg(test)]
mod tests;
