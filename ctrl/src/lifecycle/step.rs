//! The transitions.

use std::time::Duration;

use osmo_protocol::events::Phase;
use osmo_protocol::exit::ExitCode;
use osmo_protocol::socket::AgentState;

use super::leave::{agent_lost, drain, finish, is_due, link_lost, stop, terminate, upload_tick};
use super::{
    BARRIER_REPEAT, Effect, Event, Failure, PAUSE_LIMIT, PLACE_LIMIT, REPEAT_LIMIT, Reached, State,
    Step,
};

/// One step: the state after `event`, and what to do. `now` is the time since
/// any fixed moment.
pub fn step(mut state: State, event: Event, now: Duration) -> (State, Vec<Effect>) {
    let effects = match (state.step, event) {
        (Step::End, _) => Vec::new(),
        (_, Event::LinkLost(failure)) => link_lost(&mut state, failure, now),
        (_, Event::Terminate) => terminate(&mut state, now),
        (_, Event::AgentLost(failure)) => agent_lost(&mut state, failure, now),
        (_, Event::Restart) => restart(&mut state, now),
        (Step::Init { agent, link }, event) => init(&mut state, (agent, link), event, now),
        (Step::Download, Event::InputsReady) => inputs_ready(&mut state, now),
        (Step::Download, Event::InputsFailed(failure)) => give_up(&mut state, failure, now),
        (Step::Barrier, Event::BarrierPassed) => passed(run(&mut state, Effect::StartCommand)),
        (Step::Regroup, Event::BarrierPassed) => passed(run(&mut state, Effect::ResumeCommand)),
        (Step::Barrier | Step::Regroup, Event::Tick) if is_due(&state, now) => {
            state.deadline = Some(now + BARRIER_REPEAT);
            vec![Effect::SendBarrier]
        }
        (Step::Pausing, Event::CommandStopped) => regroup(&mut state, now),
        (Step::Pausing, Event::Tick) if is_due(&state, now) => unanswered(&mut state, now),
        (Step::Run | Step::Pausing | Step::Regroup | Step::Stopping, Event::CommandEnded) => {
            upload(&mut state)
        }
        (Step::Stopping, Event::Tick) if is_due(&state, now) => {
            let mut effects = vec![Effect::Say("The command did not end in time".to_owned())];
            effects.extend(upload(&mut state));
            effects
        }
        (Step::Upload, Event::OutputsSaved) => drain(&mut state, now),
        (Step::Upload, Event::OutputsFailed(failure)) => {
            let mut effects = vec![state.fail_also(failure)];
            effects.extend(drain(&mut state, now));
            effects
        }
        (Step::Upload, Event::Tick) if is_due(&state, now) => upload_tick(&mut state, now),
        (Step::Drain, Event::Drained) => finish(&mut state),
        (Step::Drain, Event::Tick) if is_due(&state, now) => finish(&mut state),
        // What comes late, twice or unasked changes nothing.
        _ => Vec::new(),
    };
    (state, effects)
}

/// Collects who is here, and goes to where the task was.
fn init(
    state: &mut State,
    (mut agent, mut link): (bool, bool),
    event: Event,
    now: Duration,
) -> Vec<Effect> {
    match event {
        Event::AgentConnected => agent = true,
        Event::LinkUp => link = true,
        Event::AgentState(place) => (agent, state.place) = (true, Some(place)),
        Event::Tick if is_due(state, now) && state.reached >= Reached::Ended => {
            state.repeated = true;
        }
        // An agent that says nothing is one that runs: nothing starts twice.
        Event::Tick if is_due(state, now) => state.place = Some(AgentState::Running),
        // It was told before anybody asked.
        Event::CommandEnded if state.reached >= Reached::Started => {
            state.reached = state.reached.max(Reached::Ended);
            state.repeated = true;
        }
        _ => return Vec::new(),
    }
    state.step = Step::Init { agent, link };
    match (state.reached, state.place) {
        (Reached::Ended | Reached::Saved, _) if link && !state.repeated => {
            state.deadline.get_or_insert(now + REPEAT_LIMIT);
            Vec::new()
        }
        (Reached::Ended, _) if link => upload(state),
        (Reached::Saved, _) if link => drain(state, now),
        _ if !(agent && link) => Vec::new(),
        (Reached::Begin, _) => {
            state.step = Step::Download;
            vec![Effect::Enter(Phase::Download), Effect::StartDownload]
        }
        (Reached::Inputs, _) => inputs_ready(state, now),
        (Reached::Started, None) => {
            state.deadline.get_or_insert(now + PLACE_LIMIT);
            Vec::new()
        }
        (_, Some(AgentState::Waiting)) => run(state, Effect::StartCommand),
        (_, Some(AgentState::Stopped)) => regroup(state, now),
        (_, Some(AgentState::Running | AgentState::Ended)) => {
            let again = "The sidecar is back; the command was not interrupted".to_owned();
            run(state, Effect::Say(again))
        }
        // The two above whose service is not here yet.
        (Reached::Ended | Reached::Saved, None) => Vec::new(),
    }
}

fn inputs_ready(state: &mut State, now: Duration) -> Vec<Effect> {
    state.reached = Reached::Inputs;
    if !state.barrier {
        return run(state, Effect::StartCommand);
    }
    ask(state, Step::Barrier, now)
}

fn ask(state: &mut State, step: Step, now: Duration) -> Vec<Effect> {
    state.step = step;
    state.deadline = Some(now + BARRIER_REPEAT);
    vec![Effect::Say("Waiting for group ready ...".to_owned()), Effect::SendBarrier]
}

fn passed(effects: Vec<Effect>) -> Vec<Effect> {
    let mut all = vec![Effect::Say("Group ready".to_owned())];
    all.extend(effects);
    all
}

/// The command runs, by `how`.
fn run(state: &mut State, how: Effect) -> Vec<Effect> {
    let phase = (state.reached < Reached::Started || matches!(state.step, Step::Init { .. }))
        .then_some(Effect::Enter(Phase::Run));
    (state.step, state.deadline, state.reached) = (Step::Run, None, Reached::Started);
    phase.into_iter().chain([how]).collect()
}

fn restart(state: &mut State, now: Duration) -> Vec<Effect> {
    let ignored = match state.step {
        Step::Run => {
            state.step = Step::Pausing;
            state.deadline = Some(now + PAUSE_LIMIT);
            let line = "Receive restart action".to_owned();
            return vec![Effect::Say(line), Effect::PauseCommand];
        }
        Step::Init { .. } | Step::Download => "the command has not started yet",
        Step::Barrier | Step::Regroup => "the task waits for its group",
        Step::Pausing => "a restart is under way",
        Step::Stopping => "the command was asked to end",
        Step::Upload | Step::Drain | Step::End => "the command has ended",
    };
    vec![Effect::Say(format!("Restart action ignored: {ignored}"))]
}

/// The command is stopped: the group starts again as one.
fn regroup(state: &mut State, now: Duration) -> Vec<Effect> {
    if state.barrier {
        let phase = matches!(state.step, Step::Init { .. }).then_some(Effect::Enter(Phase::Run));
        return phase.into_iter().chain(ask(state, Step::Regroup, now)).collect();
    }
    run(state, Effect::ResumeCommand)
}

/// An agent that does not say that the command is stopped may not be able to
/// start it again either: the command is ended, and its outputs are saved.
fn unanswered(state: &mut State, now: Duration) -> Vec<Effect> {
    let seconds = PAUSE_LIMIT.as_secs();
    let sentence = format!(
        "The user container did not stop the command for a restart within {seconds} s; start \
         the task again"
    );
    let mut effects = vec![state.fail(Failure::new(ExitCode::UnixSocket, sentence))];
    effects.extend(stop(state, now));
    effects
}

pub(super) fn upload(state: &mut State) -> Vec<Effect> {
    state.step = Step::Upload;
    state.reached = Reached::Ended;
    state.deadline = state.leave.map(|leave| leave.saturating_sub(state.reserve()));
    vec![Effect::Enter(Phase::Upload), Effect::StartUpload]
}

/// Before the start: nothing is saved, since nothing was made.
pub(super) fn give_up(state: &mut State, failure: Failure, now: Duration) -> Vec<Effect> {
    let mut effects = vec![state.fail(failure), Effect::ReleaseAgent];
    if state.step == Step::Download {
        effects.push(Effect::CancelTransfers);
    }
    effects.extend(drain(state, now));
    effects
}
