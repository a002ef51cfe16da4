//! The task's life, as a pure machine: [`step`] takes a state, an event and the
//! time, and answers with the next state and what to do. It awaits nothing and
//! touches nothing; the driver (`driver.rs`) selects events and performs
//! effects.
//!
//! ```text
//!                                        ┌──stopped──► Regroup ──group──┐
//!                                     Pausing ◄─┐   (where it has one)  │
//!                                        │   restart                    │
//!                                        │      │                       │
//!  Init ──agent and service──► Download ─┼►(Barrier)──► Run ◄───────────┘
//!   │                             │      │    │          │ end ──────► Upload
//!   │         failure, SIGTERM    │      │    │     SIGTERM, service   ▲ │
//!   └─────────────┬───────────────┴──────┼────┘     lost: Stopping ────┘ │
//!                 │                      └─end, SIGTERM ─┘ end or share  │
//!                 ▼  agent told to exit quietly            is over       ▼
//!               Drain ◄────────────────────────────── saved, failed or cut
//!                 │ lines acknowledged, or the time is up
//!                 ▼
//!                End:  Done | Failed
//! ```
//!
//! A sidecar that was started again leaves Init to where its predecessor was
//! ([`Reached`]); where the command is, the agent says.
//!
//! **After SIGTERM** the time is shared out once, from the grace period `g`:
//!
//! ```text
//!  0 ─────────── g/2 ──────────────── g - r ──── g - r/2 ──── g
//!   the command     the uploads,        cut, aborts   the last lines, then
//!   may end         smallest first      are told      the termination message
//!                                    r = g/5, at most 5 s
//! ```
//!
//! A share that is not used is the next one's. A second SIGTERM changes nothing.
//!
//! Invariants: the first failure is the one that is reported; outputs are
//! uploaded whenever the command was started, and once; the command is started
//! once and resumed once per stop; every failure is said in the log before the
//! end; what waits for somebody else has a deadline; after End nothing happens
//! any more.

use std::time::Duration;

use osmo_protocol::events::Phase;
use osmo_protocol::exit::ExitCode;
use osmo_protocol::socket::AgentState;

/// How long the command may take to end once it was asked to.
pub const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long the agent may take to stop the command for a restart.
pub const PAUSE_LIMIT: Duration = Duration::from_secs(60);
/// How long an agent that came back may take to say where the command is.
pub const PLACE_LIMIT: Duration = Duration::from_secs(5);
/// How long a sidecar that came back after the command's end waits for an agent
/// that still has lines; one that has none is gone already.
pub const REPEAT_LIMIT: Duration = Duration::from_secs(5);
/// From SIGTERM to the end, unless the pod says otherwise.
pub const GRACE: Duration = Duration::from_secs(30);
/// What is kept of the grace period for aborts, last lines and the message.
pub const RESERVE_MAX: Duration = Duration::from_secs(5);
/// What the last lines get even when the time is up.
pub const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long the last lines may take after a failure.
pub const DRAIN_LIMIT_FAILED: Duration = Duration::from_secs(300);
/// After how long the barrier is asked for again.
pub const BARRIER_REPEAT: Duration = Duration::from_secs(300);

/// What is kept of the grace period `grace`.
fn reserve(grace: Duration) -> Duration {
    (grace / 5).min(RESERVE_MAX)
}

/// How long a transfer that was cut may take to end: half of what it has, since
/// what is left behind is to be listed in the other.
pub(crate) fn cut_limit(grace: Duration) -> Duration {
    reserve(grace) / 4
}

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
    /// The command was asked to stop, to be started again.
    Pausing,
    /// The command is stopped, waiting for the group to start it again.
    Regroup,
    /// The command was asked to end.
    Stopping,
    /// Outputs are moving.
    Upload,
    /// Waiting for the last acknowledgement.
    Drain,
    /// Over.
    End,
}

/// How far the task has come; a sidecar that is started again goes on there.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// Not far.
    #[default]
    Begin,
    /// Every input is in place.
    Inputs,
    /// The command was started.
    Started,
    /// It has ended.
    Ended,
    /// The outputs are in the store, as far as they will be.
    Saved,
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
    /// How far it has come.
    pub reached: Reached,
    barrier: bool,
    grace: Duration,
    /// When the pod must be gone, once it must.
    leave: Option<Duration>,
    link_lost: bool,
    /// Where the command is, from the agent of a resumed task.
    place: Option<AgentState>,
    /// The agent of a resumed task has repeated every line, or will not.
    repeated: bool,
    /// Uploads were cut short.
    cut: bool,
}

impl State {
    /// A task that has not begun; `barrier` when it waits for its group.
    pub fn new(barrier: bool) -> Self {
        Self {
            step: Step::Init { agent: false, link: false },
            failure: None,
            deadline: None,
            reached: Reached::Begin,
            barrier,
            grace: GRACE,
            leave: None,
            link_lost: false,
            place: None,
            repeated: false,
            cut: false,
        }
    }

    /// The same with `grace` from SIGTERM to the end.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// The same for a task that another sidecar brought as far as `reached`.
    #[must_use]
    pub fn resumed(self, reached: Reached, failure: Option<Failure>) -> Self {
        Self { reached, failure, ..self }
    }

    fn stopping(&self) -> bool {
        self.leave.is_some()
    }

    fn reserve(&self) -> Duration {
        reserve(self.grace)
    }

    /// Until when lines are waited for: the message and the exit come before
    /// the kill at `leave`.
    fn last_word(&self, leave: Duration) -> Duration {
        leave.saturating_sub(self.reserve() / 4)
    }

    /// How long the goodbyes at the end may take; a pod that must go has half of
    /// what the last lines leave.
    pub(crate) fn farewell(&self, now: Duration) -> Option<Duration> {
        let end = self.leave?.saturating_sub(self.reserve() / 8);
        Some(end.saturating_sub(now))
    }

    /// Keeps the first failure; a later one is only said.
    fn fail(&mut self, failure: Failure) -> Effect {
        let said = Effect::Say(failure.sentence.clone());
        self.failure.get_or_insert(failure);
        said
    }

    /// The same for what became of the outputs of a pod that must go: that it
    /// had to is no answer to what is lost.
    fn fail_also(&mut self, failure: Failure) -> Effect {
        let said = Effect::Say(failure.sentence.clone());
        match &mut self.failure {
            Some(first) if self.leave.is_some() => {
                first.sentence = format!("{}; {}", first.sentence, failure.sentence);
            }
            first => {
                first.get_or_insert(failure);
            }
        }
        said
    }
}

mod leave;
mod step;

pub use step::step;

#[cfg(test)]
mod tests;
