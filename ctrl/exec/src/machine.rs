//! Where the command is, and what follows from what happens: pure, so that
//! every pair of state and event can be walked.
//!
//! ```text
//!             Start               Stop              ended
//!   Waiting ────────► Running ──────────► Stopping ───────► Stopped
//!      │                │  ▲ ▲                │ Terminate      │ Resume
//!      │ Terminate      │  │ └────────────────┘                │
//!      │ CtrlFailed     │  └───────────────────────────────────┤
//!      ▼                ▼ ended                                ▼ Terminate
//!    (exit)           Ended ◄──────────────────────────────────┘
//! ```
//!
//! Invariants: a stop that was asked for is answered exactly once; the command
//! is started only where none runs; in `Ended` nothing starts any more; a
//! sidecar's orders never end a running command but by a signal, which it gets
//! once; what the sidecar asked to end (`Leaving`, a kind of Running) is killed
//! once its time is over or the sidecar is gone. SIGHUP means that whoever started
//! the agent is gone, or has lost patience.

use nix::sys::signal::Signal;
use osmo_protocol::socket::AgentState;

/// Where the command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not started yet.
    Waiting,
    /// It runs, or has ended unnoticed.
    Running {
        /// A signal asked it to end.
        asked: bool,
    },
    /// It runs, and was asked to end by the sidecar.
    Leaving,
    /// Killed, to be started again: at once when `again`.
    Stopping {
        /// The order to start came before the end.
        again: bool,
    },
    /// It does not run, and may be started again.
    Stopped,
    /// It has ended for good.
    Ended,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// `ExecStart`.
    Start,
    /// `CtrlFailed`.
    CtrlFailed,
    /// `Terminate`.
    Terminate,
    /// `UserStop`.
    Stop,
    /// `UserStart`.
    Resume,
    /// The command has ended and its lines are told, or it could not start.
    CommandEnded,
    /// SIGTERM, SIGINT or SIGHUP.
    Signal(Signal),
    /// The sidecar went away and did not come back in time.
    SidecarGone,
    /// The time that the sidecar gave the command to end is over.
    Overdue,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Start the command.
    Start,
    /// Signal the command's group.
    Signal(Signal),
    /// Kill every descendant before anything else happens; little time is left
    /// to tell the end.
    EndAll,
    /// `UserStopFinished`.
    TellStopped,
    /// Tidy up, tell the command's end and exit with its code.
    Finish,
    /// The same for a command that is stopped: signal's code.
    FinishBy(Signal),
    /// Exit at once with this code, nothing to tell.
    Exit(u8),
    /// Exit with the command's code, whatever is not told yet.
    Abandon,
}

impl State {
    /// As a sidecar that was started again is told.
    pub(crate) fn told(self) -> AgentState {
        match self {
            Self::Waiting => AgentState::Waiting,
            Self::Running { .. } | Self::Leaving | Self::Stopping { .. } => AgentState::Running,
            Self::Stopped => AgentState::Stopped,
            Self::Ended => AgentState::Ended,
        }
    }

    /// The state after `event`, and what is to be done.
    pub(crate) fn step(self, event: Event) -> (Self, Vec<Effect>) {
        match self {
            Self::Waiting => waiting(event),
            Self::Running { asked } => running(asked, event),
            Self::Leaving => leaving(event),
            Self::Stopping { again } => stopping(again, event),
            Self::Stopped => stopped(event),
            Self::Ended => ended(event),
        }
    }
}

fn waiting(event: Event) -> (State, Vec<Effect>) {
    match event {
        Event::Start => (State::Running { asked: false }, vec![Effect::Start]),
        Event::CtrlFailed => (State::Ended, vec![Effect::Exit(0)]),
        Event::Terminate => (State::Ended, vec![Effect::Exit(code(Signal::SIGTERM))]),
        Event::Signal(signal) => (State::Ended, vec![Effect::Exit(code(signal))]),
        Event::SidecarGone => (State::Ended, vec![Effect::Exit(super::agent::GONE)]),
        Event::Stop => (State::Waiting, vec![Effect::TellStopped]),
        Event::Resume | Event::CommandEnded | Event::Overdue => (State::Waiting, vec![]),
    }
}

/// An end is asked for once, whoever asks: kubelet signals this container and the
/// sidecar's, which asks as well, and for many a program a second SIGTERM means
/// that what it saves is not wanted.
fn running(asked: bool, event: Event) -> (State, Vec<Effect>) {
    let same = State::Running { asked };
    match event {
        Event::Stop => (State::Stopping { again: false }, vec![Effect::Signal(Signal::SIGKILL)]),
        Event::Signal(Signal::SIGHUP) => (same, vec![Effect::EndAll]),
        Event::Terminate if asked => (State::Leaving, vec![]),
        Event::Terminate => (State::Leaving, vec![Effect::Signal(Signal::SIGTERM)]),
        Event::Signal(_) if asked => (same, vec![]),
        Event::Signal(signal) => (State::Running { asked: true }, vec![Effect::Signal(signal)]),
        Event::CommandEnded => (State::Ended, vec![Effect::Finish]),
        Event::Start | Event::Resume | Event::CtrlFailed | Event::SidecarGone | Event::Overdue => {
            (same, vec![])
        }
    }
}

/// Nobody waits for the command any more: it may not hold the machine for ever.
fn leaving(event: Event) -> (State, Vec<Effect>) {
    match event {
        Event::Overdue | Event::SidecarGone | Event::Signal(Signal::SIGHUP) => {
            (State::Leaving, vec![Effect::EndAll])
        }
        // Its end is the task's, even where it is stopped now.
        Event::Stop => (State::Leaving, vec![Effect::Signal(Signal::SIGKILL), Effect::TellStopped]),
        Event::CommandEnded => (State::Ended, vec![Effect::Finish]),
        // It was asked.
        Event::Terminate | Event::Signal(_) | Event::Start | Event::Resume | Event::CtrlFailed => {
            (State::Leaving, vec![])
        }
    }
}

fn stopping(again: bool, event: Event) -> (State, Vec<Effect>) {
    match event {
        Event::CommandEnded if again => {
            (State::Running { asked: false }, vec![Effect::TellStopped, Effect::Start])
        }
        Event::CommandEnded => (State::Stopped, vec![Effect::TellStopped]),
        Event::Resume => (State::Stopping { again: true }, vec![]),
        Event::Signal(Signal::SIGHUP) => {
            (State::Running { asked: true }, vec![Effect::TellStopped, Effect::EndAll])
        }
        // It is killed already; its end is now the task's.
        Event::Terminate | Event::Signal(_) => {
            (State::Running { asked: true }, vec![Effect::TellStopped])
        }
        Event::Start | Event::Stop | Event::CtrlFailed | Event::SidecarGone | Event::Overdue => {
            (State::Stopping { again }, vec![])
        }
    }
}

fn stopped(event: Event) -> (State, Vec<Effect>) {
    match event {
        // A sidecar that lost its memory begins at the begin.
        Event::Resume | Event::Start => (State::Running { asked: false }, vec![Effect::Start]),
        Event::Stop => (State::Stopped, vec![Effect::TellStopped]),
        Event::Terminate => (State::Ended, vec![Effect::FinishBy(Signal::SIGTERM)]),
        Event::Signal(signal @ Signal::SIGHUP) => {
            (State::Ended, vec![Effect::EndAll, Effect::FinishBy(signal)])
        }
        Event::Signal(signal) => (State::Ended, vec![Effect::FinishBy(signal)]),
        Event::CtrlFailed => (State::Ended, vec![Effect::Exit(0)]),
        Event::SidecarGone => (State::Ended, vec![Effect::Exit(super::agent::GONE)]),
        Event::CommandEnded | Event::Overdue => (State::Stopped, vec![]),
    }
}

fn ended(event: Event) -> (State, Vec<Effect>) {
    let effects = match event {
        Event::Stop => vec![Effect::TellStopped],
        Event::Signal(Signal::SIGHUP) => vec![Effect::Abandon],
        _ => vec![],
    };
    (State::Ended, effects)
}

fn code(signal: Signal) -> u8 {
    u8::try_from(128 + signal as i32).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests;
