//! The ways out: somebody is gone, or the pod must go.

use std::time::Duration;

use osmo_protocol::events::Phase;
use osmo_protocol::exit::ExitCode;

use super::step::{give_up, upload};
use super::{DRAIN_LIMIT_FAILED, Effect, Failure, LAST_WORDS, Reached, STOP_LIMIT, State, Step};

pub(super) fn is_due(state: &State, now: Duration) -> bool {
    state.deadline.is_some_and(|deadline| now >= deadline)
}

/// Asks the command to end; within half of the grace period when the pod must
/// go.
pub(super) fn stop(state: &mut State, now: Duration) -> Vec<Effect> {
    state.step = Step::Stopping;
    let share = state.leave.map(|leave| leave.saturating_sub(state.grace / 2));
    state.deadline = Some(share.unwrap_or(now + STOP_LIMIT));
    vec![Effect::StopCommand]
}

/// The uploads' share of the grace period is over: first they are cut, and then
/// nobody waits for how that goes.
pub(super) fn upload_tick(state: &mut State, now: Duration) -> Vec<Effect> {
    if !state.cut {
        state.cut = true;
        state.deadline = state.leave.map(|leave| leave.saturating_sub(state.reserve() / 2));
        let line = "The time for uploads is up; what is under way is given up".to_owned();
        return vec![Effect::Say(line), Effect::CancelTransfers];
    }
    let sentence = "not every output was uploaded within the grace period (-gracePeriod)";
    let mut effects = vec![state.fail_also(Failure::new(ExitCode::Upload, sentence))];
    effects.extend(drain(state, now));
    effects
}

pub(super) fn drain(state: &mut State, now: Duration) -> Vec<Effect> {
    state.reached = match state.reached {
        Reached::Ended | Reached::Saved => Reached::Saved,
        before => before,
    };
    if state.link_lost {
        return finish(state);
    }
    state.step = Step::Drain;
    state.deadline = match (state.leave, &state.failure) {
        (Some(leave), _) => {
            let least = LAST_WORDS.min(state.reserve() / 4);
            Some(state.last_word(leave).max(now + least))
        }
        (None, Some(_)) => Some(now + DRAIN_LIMIT_FAILED),
        // The link's own limit ends the wait.
        (None, None) => None,
    };
    vec![Effect::Drain]
}

pub(super) fn finish(state: &mut State) -> Vec<Effect> {
    state.step = Step::End;
    state.deadline = None;
    let phase = if state.failure.is_none() { Phase::Done } else { Phase::Failed };
    vec![Effect::Enter(phase), Effect::Finish]
}

pub(super) fn link_lost(state: &mut State, failure: Failure, now: Duration) -> Vec<Effect> {
    if state.link_lost {
        return Vec::new();
    }
    state.link_lost = true;
    depart(state, failure, now)
}

pub(super) fn agent_lost(state: &mut State, failure: Failure, now: Duration) -> Vec<Effect> {
    match (state.step, state.reached) {
        // It has done its work.
        (Step::Upload | Step::Drain | Step::End, _) | (_, Reached::Ended | Reached::Saved) => {
            Vec::new()
        }
        (_, Reached::Started) => {
            let mut effects = vec![state.fail(failure)];
            effects.extend(upload(state));
            effects
        }
        (_, Reached::Begin | Reached::Inputs) => give_up(state, failure, now),
    }
}

/// SIGTERM: the time is shared out.
pub(super) fn terminate(state: &mut State, now: Duration) -> Vec<Effect> {
    if state.stopping() {
        return Vec::new();
    }
    let leave = now + state.grace;
    state.leave = Some(leave);
    let (grace, reserve) = (state.grace, state.reserve());
    match state.step {
        Step::Upload => {
            state.deadline = Some(leave.saturating_sub(reserve));
            let seconds = grace.saturating_sub(reserve).as_secs();
            let line = format!("The pod was asked to stop; the uploads have {seconds} s");
            vec![Effect::Say(line)]
        }
        Step::Stopping => {
            let share = leave.saturating_sub(grace / 2);
            state.deadline = state.deadline.map(|deadline| deadline.min(share));
            Vec::new()
        }
        Step::Drain => {
            let last = state.last_word(leave);
            state.deadline = Some(state.deadline.map_or(last, |deadline| deadline.min(last)));
            Vec::new()
        }
        Step::End => Vec::new(),
        _ => {
            let when = match state.reached {
                Reached::Begin | Reached::Inputs => "before the command started",
                _ => "what it has written is saved",
            };
            let sentence = format!("The pod was asked to stop; {when}");
            depart(state, Failure::new(ExitCode::Misc, sentence), now)
        }
    }
}

/// Leaves from wherever the task is, by the shortest way that saves its
/// outputs.
fn depart(state: &mut State, failure: Failure, now: Duration) -> Vec<Effect> {
    let rest = match (state.step, state.reached) {
        (Step::End, _) => return Vec::new(),
        (Step::Stopping | Step::Upload, _) => Vec::new(),
        (Step::Drain, _) => {
            let mut effects = vec![state.fail(failure)];
            effects.extend(finish(state));
            return effects;
        }
        (_, Reached::Begin | Reached::Inputs) => return give_up(state, failure, now),
        (_, Reached::Started) => stop(state, now),
        (_, Reached::Ended) => upload(state),
        (_, Reached::Saved) => drain(state, now),
    };
    let mut effects = vec![state.fail(failure)];
    effects.extend(rest);
    effects
}
