#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::time::Duration;

use osmo_protocol::exit::ExitCode;

use osmo_protocol::socket::AgentState;

use super::{
    Effect, Event, Failure, GRACE, PAUSE_LIMIT, RESERVE_MAX, Reached, STOP_LIMIT, State, Step, step,
};

const LATE: Duration = Duration::from_secs(1 << 20);

fn failure(code: ExitCode) -> Failure {
    Failure::new(code, format!("{code:?} went wrong"))
}

/// One of each, in the order of the table below.
fn events() -> [Event; 15] {
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
        Event::Restart,
        Event::CommandStopped,
    ]
}

/// Where an agent that dials again may say that the command is.
const PLACES: [AgentState; 4] =
    [AgentState::Waiting, AgentState::Running, AgentState::Stopped, AgentState::Ended];

/// The state at `wanted`, reached by the shortest way.
fn at(wanted: Step) -> State {
    let way = |events: &[Event]| {
        let mut state = State::new(matches!(wanted, Step::Barrier | Step::Regroup));
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
        Step::Pausing => way(&[&up[..], &[Event::Restart]].concat()),
        Step::Regroup => {
            let again = [Event::BarrierPassed, Event::Restart, Event::CommandStopped];
            way(&[&up[..], &again].concat())
        }
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
        Barrier as B, Download as D, Drain as Z, End as E, Pausing as P, Regroup as G, Run as R,
        Stopping as S, Upload as U,
    };
    #[rustfmt::skip]
    let table = [
        //        agent link  in    in!   bar   cmd   out   out!  drain agent! link! TERM tick  again stopped
        (none, [  a,    l,    none, none, none, none, none, none, none, Z,     E,    Z,   none, none, none]),
        (a,    [  a,    D,    a,    a,    a,    a,    a,    a,    a,    Z,     E,    Z,   a,    a,    a]),
        (l,    [  D,    l,    l,    l,    l,    l,    l,    l,    l,    Z,     E,    Z,   l,    l,    l]),
        (D,    [  D,    D,    R,    Z,    D,    D,    D,    D,    D,    Z,     E,    Z,   D,    D,    D]),
        (B,    [  B,    B,    B,    B,    R,    B,    B,    B,    B,    Z,     E,    Z,   B,    B,    B]),
        (R,    [  R,    R,    R,    R,    R,    U,    R,    R,    R,    U,     S,    S,   R,    P,    R]),
        (P,    [  P,    P,    P,    P,    P,    U,    P,    P,    P,    U,     S,    S,   S,    P,    R]),
        (G,    [  G,    G,    G,    G,    R,    U,    G,    G,    G,    U,     S,    S,   G,    G,    G]),
        (S,    [  S,    S,    S,    S,    S,    U,    S,    S,    S,    U,     S,    S,   U,    S,    S]),
        (U,    [  U,    U,    U,    U,    U,    U,    Z,    Z,    U,    U,     U,    U,   U,    U,    U]),
        (Z,    [  Z,    Z,    Z,    Z,    Z,    Z,    Z,    Z,    E,    Z,     E,    Z,   Z,    Z,    Z]),
        (E,    [  E,    E,    E,    E,    E,    E,    E,    E,    E,    E,     E,    E,   E,    E,    E]),
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
    started: bool,
    uploads: u8,
    released: u8,
    finished: u8,
    /// Stops that were asked for and not yet answered or given up.
    pauses: u8,
    /// The command is stopped, to be resumed.
    paused: bool,
}

/// Every beginning: fresh, and resumed at each place.
fn beginnings() -> Vec<(State, Done)> {
    let all = [Reached::Begin, Reached::Inputs, Reached::Started, Reached::Ended, Reached::Saved];
    let mut open = Vec::new();
    for reached in all {
        for barrier in [true, false] {
            let done = Done {
                started: reached >= Reached::Started,
                uploads: u8::from(reached == Reached::Saved),
                ..Done::default()
            };
            open.push((State::new(barrier).resumed(reached, None), done));
        }
    }
    open
}

#[test]
fn no_way_breaks_an_invariant() {
    let mut seen = HashSet::new();
    let mut open = beginnings();
    let places = PLACES.map(Event::AgentState);
    while let Some((state, done)) = open.pop() {
        // When a deadline is does not matter, only that it is.
        let timeless = State {
            deadline: state.deadline.map(|_| LATE),
            leave: state.leave.map(|_| LATE),
            failure: state.failure.clone().map(|one| Failure::new(one.code, "")),
            ..state.clone()
        };
        if !seen.insert((format!("{timeless:?}"), done.clone())) {
            continue;
        }
        for event in events().iter().chain(&places) {
            let now = state.deadline.unwrap_or_default();
            let (next, effects) = step(state.clone(), event.clone(), now);
            let told = format!("{state:?} and {event:?}");
            let mut done = done.clone();
            for effect in &effects {
                apply(effect, event, &state, &mut done, &told);
            }
            check(&state, &next, &effects, &done, &told);
            open.push((next, done));
        }
    }
    assert!(seen.len() > 200, "{}", seen.len());
}

fn apply(effect: &Effect, event: &Event, state: &State, done: &mut Done, told: &str) {
    match effect {
        Effect::StartCommand => {
            // Again only for an agent that says that it never got the first.
            let is_lost = state.place == Some(AgentState::Waiting)
                || *event == Event::AgentState(AgentState::Waiting);
            assert!(!done.started || is_lost, "{told}");
            done.started = true;
        }
        Effect::PauseCommand => {
            assert!(done.started && done.pauses == 0, "{told}");
            done.pauses = 1;
        }
        Effect::ResumeCommand => {
            assert!(done.started, "{told}");
            (done.pauses, done.paused) = (0, false);
        }
        Effect::StartUpload => done.uploads += 1,
        Effect::ReleaseAgent => done.released += 1,
        Effect::Finish => done.finished += 1,
        _ => {}
    }
}

fn check(state: &State, next: &State, effects: &[Effect], done: &Done, told: &str) {
    assert!(!(done.started && done.released > 0), "{told}");
    assert!(done.released <= 1 && done.finished <= 1, "{told}");
    assert!(done.uploads <= u8::from(done.started), "{told}");
    assert_eq!(next.step == Step::End, done.finished == 1, "{told}");
    if done.finished == 1 {
        assert_eq!(done.uploads, u8::from(done.started), "outputs are saved: {told}");
    }
    assert!(next.reached >= state.reached, "nothing is undone: {told}");
    match (&state.failure, &next.failure) {
        (None, Some(failure)) => {
            assert!(effects.contains(&Effect::Say(failure.sentence.clone())), "{told}");
        }
        (Some(first), Some(now)) => {
            assert_eq!(first.code, now.code, "the first failure stays: {told}");
            assert!(now.sentence.starts_with(&first.sentence), "{told}");
        }
        (Some(_), None) => panic!("a failure is forgotten: {told}"),
        (None, None) => {}
    }
    // Whatever waits for something that may never come has a deadline; whoever
    // must go always has one.
    let patient =
        matches!(next.step, Step::Stopping | Step::Barrier | Step::Pausing | Step::Regroup);
    let leaves = next.leave.is_some() && next.step != Step::End;
    assert!(!(patient || leaves) || next.deadline.is_some(), "{told}");
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
    let (state, effects) = step(state, Event::Tick, GRACE / 2);
    assert!(effects.contains(&Effect::StartUpload));
    assert_eq!(state.failure.map(|failure| failure.code), Some(ExitCode::Misc));
}

#[test]
fn a_command_whose_service_is_gone_has_its_own_limit() {
    let lost = Event::LinkLost(failure(ExitCode::WebSocketTimeout));
    let (state, effects) = step(at(Step::Run), lost, Duration::ZERO);
    assert_eq!(effects.last(), Some(&Effect::StopCommand));
    assert_eq!(state.deadline, Some(STOP_LIMIT));
    // SIGTERM does not give it more.
    let (state, _) = step(state, Event::Terminate, Duration::ZERO);
    assert_eq!(state.deadline, Some(GRACE / 2));
}

#[test]
fn a_restart_stops_asks_the_group_and_resumes() {
    let up = [Event::AgentConnected, Event::LinkUp, Event::InputsReady, Event::BarrierPassed];
    let restart = [Event::Restart, Event::Restart, Event::CommandStopped];
    let mut all = Vec::new();
    let mut state = State::new(true);
    for event in up.into_iter().chain(restart) {
        let (next, effects) = step(state, event, Duration::ZERO);
        (state, all) = (next, effects);
        if state.step == Step::Pausing && all.len() == 2 {
            let line = Effect::Say("Receive restart action".to_owned());
            assert_eq!(all, [line, Effect::PauseCommand]);
        }
    }
    assert!(all.contains(&Effect::SendBarrier));
    let (state, effects) = step(state, Event::BarrierPassed, Duration::ZERO);
    assert_eq!(effects, [Effect::Say("Group ready".to_owned()), Effect::ResumeCommand]);
    assert_eq!((state.step, state.deadline), (Step::Run, None));
    let (state, effects) = step(at(Step::Pausing), Event::CommandStopped, Duration::ZERO);
    assert_eq!((state.step, effects), (Step::Run, vec![Effect::ResumeCommand]));
}

#[test]
fn a_restart_at_another_time_is_ignored_out_loud() {
    for place in [Step::Download, Step::Barrier, Step::Regroup, Step::Pausing, Step::Upload] {
        let (state, effects) = step(at(place), Event::Restart, Duration::ZERO);
        assert_eq!(state.step, place);
        let [Effect::Say(line)] = &effects[..] else { panic!("{effects:?}") };
        assert!(line.starts_with("Restart action ignored: "), "{line}");
    }
}

#[test]
fn a_command_that_ends_during_its_stop_has_ended() {
    let (state, effects) = step(at(Step::Pausing), Event::CommandEnded, Duration::ZERO);
    assert_eq!((state.step, &state.failure), (Step::Upload, &None));
    assert!(effects.contains(&Effect::StartUpload));
}

#[test]
fn an_agent_that_never_answers_a_restart_is_told() {
    let (state, effects) = step(at(Step::Pausing), Event::Tick, PAUSE_LIMIT);
    assert_eq!(effects.last(), Some(&Effect::StopCommand));
    assert_eq!(state.failure.map(|failure| failure.code), Some(ExitCode::UnixSocket));
}

/// The shares of 30 s, by hand: 15 s for the command, uploads to 25 s, aborts
/// to 27.5 s, the last lines to 28.75 s, the message and the end before 30 s.
#[test]
fn the_grace_period_is_shared_out() {
    let s = Duration::from_secs_f64;
    assert_eq!((GRACE, RESERVE_MAX), (s(30.0), s(5.0)));
    let begin = s(100.0);
    let (state, _) = step(at(Step::Run), Event::Terminate, begin);
    assert_eq!(state.deadline, Some(s(115.0)));
    let (again, effects) = step(state.clone(), Event::Terminate, s(110.0));
    assert_eq!((again.deadline, effects), (state.deadline, vec![]), "the second changes nothing");
    let (state, _) = step(state, Event::CommandEnded, s(103.0));
    assert_eq!(state.deadline, Some(s(125.0)), "what the command left is the uploads'");
    let (state, effects) = step(state, Event::Tick, s(125.0));
    assert!(effects.contains(&Effect::CancelTransfers));
    assert_eq!((state.step, state.deadline), (Step::Upload, Some(s(127.5))));
    let lost = Failure::new(ExitCode::Upload, "2 files were not uploaded");
    let (state, _) = step(state, Event::OutputsFailed(lost), s(126.0));
    assert_eq!((state.step, state.deadline), (Step::Drain, Some(s(128.75))));
    assert_eq!(state.farewell(s(128.75)), Some(s(0.625)));
    let failure = state.failure.clone().unwrap();
    assert_eq!(failure.code, ExitCode::Misc);
    assert!(failure.sentence.ends_with("; 2 files were not uploaded"), "{}", failure.sentence);
    assert_eq!(step(state, Event::Tick, s(128.75)).0.step, Step::End);
}

#[test]
fn a_sidecar_that_comes_back_goes_on_where_the_task_is() {
    let here = |reached, events: &[Event]| {
        let mut state = State::new(false).resumed(reached, None);
        let mut all = Vec::new();
        for event in events {
            let (next, effects) = step(state, event.clone(), Duration::ZERO);
            state = next;
            all.extend(effects);
        }
        (state.step, all)
    };
    let up = |place| [Event::LinkUp, Event::AgentConnected, Event::AgentState(place)];
    let (place, effects) = here(Reached::Started, &up(AgentState::Running));
    assert_eq!(place, Step::Run);
    assert!(!effects.contains(&Effect::StartCommand), "{effects:?}");
    let (place, effects) = here(Reached::Started, &up(AgentState::Waiting));
    assert_eq!((place, effects.last()), (Step::Run, Some(&Effect::StartCommand)));
    let (place, effects) = here(Reached::Started, &up(AgentState::Stopped));
    assert_eq!((place, effects.last()), (Step::Run, Some(&Effect::ResumeCommand)));
    let ended = [&up(AgentState::Ended)[..], &[Event::CommandEnded]].concat();
    assert_eq!(here(Reached::Started, &ended).0, Step::Upload);
    let ended = [Event::LinkUp, Event::AgentConnected, Event::CommandEnded];
    let (place, effects) = here(Reached::Ended, &ended);
    assert_eq!((place, effects.last()), (Step::Upload, Some(&Effect::StartUpload)));
    assert_eq!(here(Reached::Saved, &ended), (Step::Drain, vec![Effect::Drain]));
    assert_eq!(here(Reached::Inputs, &up(AgentState::Waiting)).0, Step::Run);
    assert_eq!(here(Reached::Begin, &up(AgentState::Waiting)).0, Step::Download);
}

/// Its lines come before its word that the command has ended.
#[test]
fn after_the_end_an_agent_with_lines_is_waited_for_and_none_is_not() {
    for (reached, place) in [(Reached::Ended, Step::Upload), (Reached::Saved, Step::Drain)] {
        let mut state = State::new(false).resumed(reached, None);
        let ended = Event::AgentState(AgentState::Ended);
        for event in [Event::LinkUp, Event::AgentConnected, ended, Event::Tick] {
            state = step(state, event, Duration::ZERO).0;
            assert!(matches!(state.step, Step::Init { .. }), "{state:?}");
        }
        assert_eq!(step(state.clone(), Event::CommandEnded, Duration::ZERO).0.step, place);
        let due = state.deadline.unwrap();
        let (state, _) = step(state, Event::Tick, due);
        assert_eq!((state.step, state.deadline), (place, None));
    }
}

#[test]
fn an_agent_that_does_not_say_where_the_command_is_is_not_started_twice() {
    let state = State::new(false).resumed(Reached::Started, None);
    let (state, _) = step(state, Event::LinkUp, Duration::ZERO);
    let (state, _) = step(state, Event::AgentConnected, Duration::ZERO);
    let due = state.deadline.unwrap();
    let (state, effects) = step(state, Event::Tick, due);
    assert_eq!(state.step, Step::Run);
    assert!(!effects.contains(&Effect::StartCommand));
}
