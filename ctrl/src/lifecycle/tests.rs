use std::collections::HashSet;
use std::time::Duration;

use osmo_protocol::exit::ExitCode;

use super::{Effect, Event, Failure, STOP_LIMIT, State, Step, step};

const LATE: Duration = Duration::from_secs(1 << 20);

fn failure(code: ExitCode) -> Failure {
    Failure::new(code, format!("{code:?} went wrong"))
}

/// One of each, in the order of the table below.
fn events() -> [Event; 13] {
    [
        Event::AgentConnected,
        Event::LinkUp,
        Event::InputsReady,
        Event::InputsFailed(failure(ExitCode::Download)),
        Event::BarrierPassed,
        Event::CommandEnded,
        Event::OutputsSaved,
        Event::OutputsFailed(failure(ExitCode::Upload)),
        Event::Drained,
        Event::AgentLost(failure(ExitCode::UnixSocket)),
        Event::LinkLost(failure(ExitCode::WebSocketTimeout)),
        Event::Terminate,
        Event::Tick,
    ]
}

/// The state at `wanted`, reached by the shortest way.
fn at(wanted: Step) -> State {
    let way = |events: &[Event]| {
        let mut state = State::new(wanted == Step::Barrier);
        for event in events {
            state = step(state, event.clone(), Duration::ZERO).0;
        }
        assert_eq!(state.step, wanted);
        state
    };
    let up = [Event::AgentConnected, Event::LinkUp, Event::InputsReady];
    match wanted {
        Step::Init { agent, link } => {
            let here = [(agent, Event::AgentConnected), (link, Event::LinkUp)];
            let here: Vec<_> = here.into_iter().filter(|(is, _)| *is).map(|(_, e)| e).collect();
            way(&here)
        }
        Step::Download => way(&up[..2]),
        Step::Barrier | Step::Run => way(&up),
        Step::Stopping => way(&[&up[..], &[Event::Terminate]].concat()),
        Step::Upload => way(&[&up[..], &[Event::CommandEnded]].concat()),
        Step::Drain => way(&[&up[..], &[Event::CommandEnded, Event::OutputsSaved]].concat()),
        Step::End => {
            let end = [Event::CommandEnded, Event::OutputsSaved, Event::Drained];
            way(&[&up[..], &end].concat())
        }
    }
}

#[test]
fn every_pair_leads_where_the_graph_says() {
    let (none, a, l) = (
        Step::Init { agent: false, link: false },
        Step::Init { agent: true, link: false },
        Step::Init { agent: false, link: true },
    );
    use Step::{
        Barrier as B, Download as D, Drain as Z, End as E, Run as R, Stopping as S, Upload as U,
    };
    #[rustfmt::skip]
    let table = [
        //        agent link  in    in!   bar   cmd   out   out!  drain agent! link! TERM tick
        (none, [  a,    l,    none, none, none, none, none, none, none, Z,     E,    Z,   none]),
        (a,    [  a,    D,    a,    a,    a,    a,    a,    a,    a,    Z,     E,    Z,   a]),
        (l,    [  D,    l,    l,    l,    l,    l,    l,    l,    l,    Z,     E,    Z,   l]),
        (D,    [  D,    D,    R,    Z,    D,    D,    D,    D,    D,    Z,     E,    Z,   D]),
        (B,    [  B,    B,    B,    B,    R,    B,    B,    B,    B,    Z,     E,    Z,   B]),
        (R,    [  R,    R,    R,    R,    R,    U,    R,    R,    R,    U,     S,    S,   R]),
        (S,    [  S,    S,    S,    S,    S,    U,    S,    S,    S,    U,     S,    S,   U]),
        (U,    [  U,    U,    U,    U,    U,    U,    Z,    Z,    U,    U,     U,    U,   U]),
        (Z,    [  Z,    Z,    Z,    Z,    Z,    Z,    Z,    Z,    E,    Z,     E,    Z,   Z]),
        (E,    [  E,    E,    E,    E,    E,    E,    E,    E,    E,    E,     E,    E,   E]),
    ];
    for (from, wanted) in table {
        for (event, to) in events().into_iter().zip(wanted) {
            let (state, _) = step(at(from), event.clone(), LATE);
            assert_eq!(state.step, to, "{from:?} and {event:?}");
        }
    }
}

/// What a way through the graph has done so far.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Done {
    started: u8,
    uploads: u8,
    released: u8,
    finished: u8,
}

#[test]
fn no_way_breaks_an_invariant() {
    let mut seen = HashSet::new();
    let mut open = vec![(State::new(true), Done::default()), (State::new(false), Done::default())];
    while let Some((state, done)) = open.pop() {
        // When a deadline is does not matter, only that it is.
        let timeless = State { deadline: state.deadline.map(|_| LATE), ..state.clone() };
        if !seen.insert((format!("{timeless:?}"), done.clone())) {
            continue;
        }
        for event in events() {
            let now = state.deadline.unwrap_or_default();
            let (next, effects) = step(state.clone(), event.clone(), now);
            let mut done = done.clone();
            for effect in &effects {
                match effect {
                    Effect::StartCommand => done.started += 1,
                    Effect::StartUpload => done.uploads += 1,
                    Effect::ReleaseAgent => done.released += 1,
                    Effect::Finish => done.finished += 1,
                    _ => {}
                }
            }
            let told = format!("{state:?} and {event:?}");
            assert!(done.started + done.released <= 1, "{told}");
            assert!(done.uploads <= done.started, "{told}");
            assert_eq!(next.step == Step::End, done.finished == 1, "{told}");
            if done.finished == 1 {
                assert_eq!(done.uploads, done.started, "outputs are saved: {told}");
            }
            if let (None, Some(failure)) = (&state.failure, &next.failure) {
                assert!(effects.contains(&Effect::Say(failure.sentence.clone())), "{told}");
            }
            if state.failure.is_some() {
                assert_eq!(next.failure, state.failure, "the first failure stays: {told}");
            }
            // Whatever waits for something that may never come has a deadline.
            let patient = matches!(next.step, Step::Stopping | Step::Barrier);
            assert!(!patient || next.deadline.is_some(), "{told}");
            open.push((next, done));
        }
    }
    assert!(seen.len() > 50);
}

#[test]
fn a_good_day_does_this_in_this_order() {
    use osmo_protocol::events::Phase;
    let events = [
        Event::LinkUp,
        Event::AgentConnected,
        Event::InputsReady,
        Event::CommandEnded,
        Event::OutputsSaved,
        Event::Drained,
    ];
    let mut state = State::new(false);
    let mut all = Vec::new();
    for event in events {
        let (next, effects) = step(state, event, Duration::ZERO);
        state = next;
        all.extend(effects);
    }
    assert_eq!(
        all,
        [
            Effect::Enter(Phase::Download),
            Effect::StartDownload,
            Effect::Enter(Phase::Run),
            Effect::StartCommand,
            Effect::Enter(Phase::Upload),
            Effect::StartUpload,
            Effect::Drain,
            Effect::Enter(Phase::Done),
            Effect::Finish,
        ]
    );
    assert_eq!(state.failure, None);
}

#[test]
fn the_barrier_is_asked_for_again_and_passed_once() {
    let (state, effects) = step(at(Step::Barrier), Event::Tick, LATE);
    assert_eq!(effects, [Effect::SendBarrier]);
    let (state, effects) = step(state, Event::Tick, LATE);
    assert_eq!(effects, []);
    let (state, _) = step(state, Event::BarrierPassed, LATE);
    assert_eq!(step(state, Event::BarrierPassed, LATE).1, []);
}

#[test]
fn a_command_that_does_not_stop_does_not_hold_its_outputs() {
    let state = at(Step::Stopping);
    assert_eq!(step(state.clone(), Event::Tick, Duration::ZERO).1, []);
    let (state, effects) = step(state, Event::Tick, STOP_LIMIT);
    assert!(effects.contains(&Effect::StartUpload));
    assert_eq!(state.failure.map(|failure| failure.code), Some(ExitCode::Misc));
}
