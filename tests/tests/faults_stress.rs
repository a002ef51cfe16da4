//! Random scripts from one seed over thousands of requests: whatever the
//! store does, what arrives is right and nothing is left over. Takes minutes;
//! a failure prints the command that repeats its seed.
#![allow(clippy::unwrap_used)]

mod faults;

use faults::cases::steps;
use faults::world::{End, World, waits};
use osmo_engine::clock::Chance;
use osmo_tests::fault_server::{Call, Step};

const ROUNDS: u64 = 60;
const OBJECTS: u64 = 40;
/// Steps of a script, for one key or for all.
const STEPS: u64 = 30;

fn seed() -> u64 {
    let given = std::env::var("OSMO_FAULT_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| Chance::from_clock().next_bits())
}

fn pick<T: Clone>(chance: &mut Chance, from: &[T]) -> T {
    let at = usize::try_from(chance.up_to(from.len() as u64 - 1)).unwrap();
    from[at].clone()
}

/// Content that tells one object from another.
fn content(number: u64) -> Vec<u8> {
    format!("object {number};").repeat(1 + usize::try_from(number * 211).unwrap()).into_bytes()
}

fn round(driver: &str, chance: &mut Chance) {
    let world = World::new(driver).with_waits(waits(700));
    for number in 0..OBJECTS {
        world.server.put(&format!("p/{number:02}"), content(number));
    }
    world.server.page_keys(usize::try_from(1 + chance.up_to(20)).unwrap());
    for _ in 0..chance.up_to(STEPS) {
        let call = pick(chance, &[Call::List, Call::GetWhole, Call::GetRange]);
        let one = format!("p/{:02}", chance.up_to(OBJECTS - 1));
        let key = pick(chance, &["p/".to_owned(), one]);
        let count = usize::try_from(chance.up_to(3)).unwrap();
        let script: Vec<Step> = (0..count).map(|_| pick(chance, &steps(call))).collect();
        world.server.script(call, &key, script);
    }
    let to = tempfile::tempdir().unwrap();
    let (end, sentence) = End::of(&world.download("s3://bkt/p/", to.path()));
    osmo_tests::tree::assert_no_leftovers(to.path());
    let mut arrived = 0;
    for number in 0..OBJECTS {
        match std::fs::read(to.path().join(format!("{number:02}"))) {
            Ok(bytes) => {
                assert!(bytes == content(number), "{number} has wrong bytes");
                arrived += 1;
            }
            Err(_) => assert_ne!(end, End::Done, "{number} is missing"),
        }
    }
    assert_eq!(arrived == OBJECTS, end == End::Done, "{arrived} and {end:?}: {sentence}");
    assert_eq!(world.server.connections_left(), 0, "connections are left");
    assert_eq!(world.server.violations(), Vec::<String>::new());
}

fn stress(driver: &str) {
    let seed = seed();
    let mut chance = Chance::from_seed(seed);
    for number in 0..ROUNDS {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            round(driver, &mut chance);
        }));
        assert!(
            ended.is_ok(),
            "round {number} failed; again: OSMO_FAULT_SEED={seed} cargo test -p osmo-tests --test \
             faults_stress -- --ignored {driver}"
        );
    }
}

#[test]
#[ignore = "takes minutes; see CONTRIBUTING.md"]
fn uring_survives_anything() {
    if osmo_tests::uring_works() {
        stress("uring");
    } else {
        osmo_tests::skip::skip("this kernel or container refuses io_uring");
    }
}

#[test]
#[ignore = "takes minutes; see CONTRIBUTING.md"]
fn epoll_survives_anything() {
    stress("epoll");
}
