use std::collections::{BTreeSet, VecDeque};

use nix::sys::signal::Signal;

use super::{Effect, Event, State};

const EVENTS: [Event; 11] = [
    Event::Start,
    Event::CtrlFailed,
    Event::Terminate,
    Event::Stop,
    Event::Resume,
    Event::CommandEnded,
    Event::Signal(Signal::SIGTERM),
    Event::Signal(Signal::SIGINT),
    Event::Signal(Signal::SIGHUP),
    Event::SidecarGone,
    Event::Overdue,
];

/// What the world looks like beside the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    /// The command runs.
    alive: bool,
    /// Stops asked for and not answered.
    owed: u8,
    exited: bool,
}

fn play(world: &mut World, state: State, event: Event, effects: &[Effect]) {
    for effect in effects {
        assert!(!world.exited, "{state:?} {event:?}: {effect:?} after the exit");
        match effect {
            Effect::Start => {
                assert!(!world.alive, "{state:?} {event:?}: a second command");
                world.alive = true;
            }
            // Its end is still news.
            Effect::Signal(_) | Effect::EndAll => {}
            Effect::TellStopped => {
                assert!(world.owed > 0, "{state:?} {event:?}: an answer nobody asked for");
                world.owed = 0;
            }
            Effect::Finish | Effect::FinishBy(_) | Effect::Exit(_) => {
                assert!(!world.alive, "{state:?} {event:?}: the agent leaves its command");
                world.exited = true;
            }
            Effect::Abandon => world.exited = true,
        }
    }
}

#[test]
fn every_pair_keeps_the_invariants() {
    let begin = (State::Waiting, World { alive: false, owed: 0, exited: false });
    let (mut seen, mut queue) = (BTreeSet::new(), VecDeque::from([begin]));
    let mut states = BTreeSet::new();
    while let Some((state, world)) = queue.pop_front() {
        if !seen.insert((format!("{state:?}"), world)) {
            continue;
        }
        states.insert(format!("{state:?}"));
        for event in EVENTS {
            let mut after = world;
            match event {
                // Only what runs can end.
                Event::CommandEnded if !world.alive => continue,
                Event::CommandEnded => after.alive = false,
                Event::Stop => after.owed = 1,
                _ => {}
            }
            let (next, effects) = state.step(event);
            // The agent is gone, or goes: it may only answer a stop.
            if after.exited {
                assert!(matches!(effects[..], [] | [Effect::TellStopped | Effect::Abandon]));
                continue;
            }
            play(&mut after, state, event, &effects);
            assert!(
                after.owed == 0 || matches!(next, State::Stopping { .. }),
                "{state:?} {event:?}"
            );
            assert_eq!(after.exited, next == State::Ended, "{state:?} {event:?}");
            queue.push_back((next, after));
        }
    }
    assert_eq!(states.len(), 8, "{states:?}");
}

#[test]
fn a_restart_runs_through() {
    let mut state = State::Waiting;
    let mut told = Vec::new();
    for event in
        [Event::Start, Event::Stop, Event::CommandEnded, Event::Resume, Event::CommandEnded]
    {
        let (next, effects) = state.step(event);
        state = next;
        told.extend(effects);
    }
    let kill = Effect::Signal(Signal::SIGKILL);
    let want = [Effect::Start, kill, Effect::TellStopped, Effect::Start, Effect::Finish];
    assert_eq!((state, told), (State::Ended, want.to_vec()));
}

#[test]
fn a_stop_too_late_or_too_early_is_answered() {
    for state in [State::Waiting, State::Stopped, State::Ended] {
        assert_eq!(state.step(Event::Stop), (state, vec![Effect::TellStopped]));
    }
}

#[test]
fn a_hang_up_ends_everybody_wherever_somebody_may_live() {
    let up = Event::Signal(Signal::SIGHUP);
    for state in [State::Running { asked: false }, State::Stopping { again: true }, State::Stopped]
    {
        assert!(state.step(up).1.contains(&Effect::EndAll), "{state:?}");
    }
    assert_eq!(State::Ended.step(up).1, [Effect::Abandon]);
    assert_eq!(State::Waiting.step(up).1, [Effect::Exit(129)]);
}

#[test]
fn an_end_is_asked_for_once() {
    let ways = [Event::Terminate, Event::Signal(Signal::SIGTERM), Event::Signal(Signal::SIGINT)];
    for first in ways {
        let (state, effects) = State::Running { asked: false }.step(first);
        assert!(matches!(effects[..], [Effect::Signal(_)]), "{first:?}: {effects:?}");
        for second in ways {
            assert_eq!(state.step(second).1, [], "{first:?}, {second:?}");
            assert_eq!(state.step(second).0.step(first).1, [], "{first:?}, {second:?}");
        }
    }
    // Whoever of them came first: the sidecar's word sets a time.
    assert_eq!(State::Running { asked: true }.step(Event::Terminate).0, State::Leaving);
}
