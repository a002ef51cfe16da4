//! The transitions.

use std::time::Duration;

use osmo_protocol::events::Phase;
use osmo_protocol::exit::ExitCode;

use super::{
    BARRIER_REPEAT, DRAIN_LIMIT_FAILED, DRAIN_LIMIT_STOPPING, Effect, Event, Failure, STOP_LIMIT,
    State, Step,
};

/// One step: the state after `event`, and what to do. `now` is the time since
/// any fixed moment.
pub fn step(mut state: State, event: Event, now: Duration) -> (State, Vec<Effect>) {
    let effects = match (state.step, event) {
        (Step::End, _) => Vec::new(),
        (_, Event::LinkLost(failure)) => link_lost(&mut state, failure, now),
        (_, Event::Terminate) => terminate(&mut state, now),
        (_, Event::AgentLost(failure)) => agent_lost(&mut state, failure, now),
        (Step::Init { link, .. }, Event::AgentConnected) => connected(&mut state, true, link),
        (Step::Init { agent, .. }, Event::LinkUp) => connected(&mut state, agent, true),
        (Step::Download, Event::InputsReady) if state.barrier => barrier(&mut state, now),
        (Step::Download, Event::InputsReady) => run(&mut state),
        (Step::Download, Event::InputsFailed(failure)) => give_up(&mut state, failure, now),
        (Step::Barrier, Event::BarrierPassed) => {
            let mut effects = vec![Effect::Say("Group ready".to_owned())];
            effects.extend(run(&mut state));
            effects
        }
        (Step::Barrier, Event::Tick) if is_due(&state, now) => {
            state.deadline = Some(now + BARRIER_REPEAT);
            vec![Effect::SendBarrier]
        }
        (Step::Run | Step::Stopping, Event::CommandEnded) => upload(&mut state),
        (Step::Stopping, Event::Tick) if is_due(&state, now) => {
            let sentence = format!("The command did not end within {} s", STOP_LIMIT.as_secs());
            let mut effects = vec![Effect::Say(sentence)];
            effects.extend(upload(&mut state));
            effects
        }
        (Step::Upload, Event::OutputsSaved) => drain(&mut state, now),
        (Step::Upload, Event::OutputsFailed(failure)) => {
            let mut effects = vec![state.fail(failure)];
            effects.extend(drain(&mut state, now));
            effects
        }
        (Step::Drain, Event::Drained) => finish(&mut state),
        (Step::Drain, Event::Tick) if is_due(&state, now) => finish(&mut state),
        // What comes late, twice or unasked changes nothing.
        _ => Vec::new(),
    };
    (state, effects)
}

fn is_due(state: &State, now: Duration) -> bool {
    state.deadline.is_some_and(|deadline| now >= deadline)
}

fn connected(state: &mut State, agent: bool, link: bool) -> Vec<Effect> {
    if !(agent && link) {
        state.step = Step::Init { agent, link };
        return Vec::new();
    }
    state.step = Step::Download;
    vec![Effect::Enter(Phase::Download), Effect::StartDownload]
}

fn barrier(state: &mut State, now: Duration) -> Vec<Effect> {
    state.step = Step::Barrier;
    state.deadline = Some(now + BARRIER_REPEAT);
    vec![Effect::Say("Waiting for group ready ...".to_owned()), Effect::SendBarrier]
}

fn run(state: &mut State) -> Vec<Effect> {
    state.step = Step::Run;
    state.deadline = None;
    vec![Effect::Enter(Phase::Run), Effect::StartCommand]
}

fn stop(state: &mut State, now: Duration) -> Vec<Effect> {
    state.step = Step::Stopping;
    state.deadline = Some(now + STOP_LIMIT);
    vec![Effect::StopCommand]
}

fn upload(state: &mut State) -> Vec<Effect> {
    state.step = Step::Upload;
    state.deadline = None;
    vec![Effect::Enter(Phase::Upload), Effect::StartUpload]
}

/// Before the start: nothing is saved, since nothing was made.
fn give_up(state: &mut State, failure: Failure, now: Duration) -> Vec<Effect> {
    let mut effects = vec![state.fail(failure), Effect::ReleaseAgent];
    if state.step == Step::Download {
        effects.push(Effect::CancelTransfers);
    }
    effects.extend(drain(state, now));
    effects
}

fn drain(state: &mut State, now: Duration) -> Vec<Effect> {
    if state.link_lost {
        return finish(state);
    }
    state.step = Step::Drain;
    let limit = match (state.stopping, &state.failure) {
        (true, _) => Some(DRAIN_LIMIT_STOPPING),
        (false, Some(_)) => Some(DRAIN_LIMIT_FAILED),
        // The link's own limit ends the wait.
        (false, None) => None,
    };
    state.deadline = limit.map(|limit| now + limit);
    vec![Effect::Drain]
}

fn finish(state: &mut State) -> Vec<Effect> {
    state.step = Step::End;
    state.deadline = None;
    let phase = if state.failure.is_none() { Phase::Done } else { Phase::Failed };
    vec![Effect::Enter(phase), Effect::Finish]
}

fn link_lost(state: &mut State, failure: Failure, now: Duration) -> Vec<Effect> {
    if state.link_lost {
        return Vec::new();
    }
    state.link_lost = true;
    match state.step {
        Step::Run => {
            let mut effects = vec![state.fail(failure)];
            effects.extend(stop(state, now));
            effects
        }
        Step::Stopping | Step::Upload => vec![state.fail(failure)],
        Step::Drain => {
            let mut effects = vec![state.fail(failure)];
            effects.extend(finish(state));
            effects
        }
        Step::End => Vec::new(),
        Step::Init { .. } | Step::Download | Step::Barrier => give_up(state, failure, now),
    }
}

fn agent_lost(state: &mut State, failure: Failure, now: Duration) -> Vec<Effect> {
    match state.step {
        Step::Run | Step::Stopping => {
            let mut effects = vec![state.fail(failure)];
            effects.extend(upload(state));
            effects
        }
        Step::Init { .. } | Step::Download | Step::Barrier => give_up(state, failure, now),
        // It has done its work.
        Step::Upload | Step::Drain | Step::End => Vec::new(),
    }
}

fn terminate(state: &mut State, now: Duration) -> Vec<Effect> {
    if state.stopping {
        return Vec::new();
    }
    state.stopping = true;
    let when =
        if state.started() { "what it has written is saved" } else { "before the command started" };
    let failure = Failure::new(ExitCode::Misc, format!("The pod was asked to stop; {when}"));
    match state.step {
        Step::Run => {
            let mut effects = vec![state.fail(failure)];
            effects.extend(stop(state, now));
            effects
        }
        Step::Drain => {
            state.deadline = Some(now + DRAIN_LIMIT_STOPPING);
            Vec::new()
        }
        // Already on the way to the end.
        Step::Stopping | Step::Upload | Step::End => Vec::new(),
        Step::Init { .. } | Step::Download | Step::Barrier => give_up(state, failure, now),
    }
}
