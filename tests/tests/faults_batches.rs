//! Batches of deletions that a store does by halves.
#![allow(clippy::unwrap_used)]

mod faults;

use faults::world::{End, World};
use osmo_engine::ErrorKind;
use osmo_tests::fault_server::{Call, Step};
use osmo_tests::under_both_drivers;

under_both_drivers!(
    a_key_that_is_denied_stays_alone,
    a_key_that_fails_once_goes_with_the_next_attempt,
    a_key_that_always_fails_takes_no_other_with_it,
    a_throttled_key_is_named_so,
    a_key_that_nobody_named_is_never_removed,
    an_answer_that_is_none_proves_nothing,
);

fn held(driver: &str) -> World {
    let world = World::new(driver);
    for key in ["p/1", "p/2 & more", "p/3", "q/1"] {
        world.server.put(key, key);
    }
    world
}

/// Removes `p/`; what the job came to, and the keys that are left of it.
fn removed(world: &World) -> (End, Vec<String>) {
    let report = world.delete("s3://bkt/p/");
    let (end, _) = End::of(&report);
    let keys = world.server.keys();
    let left: Vec<_> = keys.iter().filter(|key| key.starts_with("p/")).cloned().collect();
    assert_eq!(keys.len(), left.len() + 1, "q/1 was not to be removed");
    if let Ok(report) = &report {
        let named: Vec<_> = report.failures.iter().map(|failure| failure.name.clone()).collect();
        assert_eq!(named, left, "what stays is named");
        assert_eq!(report.files_deleted, 3 - left.len() as u64);
    }
    assert_eq!(world.server.connections_left(), 0);
    assert_eq!(world.server.violations(), Vec::<String>::new());
    (end, left)
}

fn a_key_that_is_denied_stays_alone(driver: &str) {
    let world = held(driver);
    world.server.keep("p/2 & more", "AccessDenied", usize::MAX);
    assert_eq!(removed(&world), (End::Partial(ErrorKind::Denied), vec!["p/2 & more".to_owned()]));
    assert_eq!(world.server.requests(Call::DeleteMany), 1, "asked again in vain");
}

fn a_key_that_fails_once_goes_with_the_next_attempt(driver: &str) {
    let world = held(driver);
    world.server.keep("p/1", "InternalError", 1);
    world.server.keep("p/3", "SlowDown", 2);
    assert_eq!(removed(&world), (End::Done, Vec::new()));
    assert_eq!(world.server.requests(Call::DeleteMany), 3);
}

fn a_key_that_always_fails_takes_no_other_with_it(driver: &str) {
    let world = held(driver);
    world.server.keep("p/1", "InternalError", usize::MAX);
    assert_eq!(removed(&world), (End::Partial(ErrorKind::Store), vec!["p/1".to_owned()]));
}

fn a_throttled_key_is_named_so(driver: &str) {
    let world = held(driver);
    world.server.keep("p/3", "SlowDown", usize::MAX);
    assert_eq!(removed(&world), (End::Partial(ErrorKind::Throttled), vec!["p/3".to_owned()]));
}

/// A refusal for a passing reason is tried again, and must not lead elsewhere.
fn a_key_that_nobody_named_is_never_removed(driver: &str) {
    let world = held(driver);
    let stray = "<DeleteResult><Error><Key>q/1</Key><Code>InternalError</Code></Error>\
                 </DeleteResult>";
    world.server.script(Call::DeleteMany, "", [Step::Status(200, stray.to_owned())]);
    assert_eq!(removed(&world), (End::Done, Vec::new()));
}

fn an_answer_that_is_none_proves_nothing(driver: &str) {
    for text in [
        "",
        "{}",
        "<html><body>It works!</body></html>",
        "<Error><Code>InternalError</Code><Message>in a success</Message></Error>",
        "<DeleteResult><Error><Code>AccessDenied</Code></Error></DeleteResult>",
    ] {
        let world = held(driver);
        world.server.script(Call::DeleteMany, "", [Step::Status(200, text.to_owned())]);
        assert_eq!(removed(&world), (End::Done, Vec::new()), "{text}");
    }
}
