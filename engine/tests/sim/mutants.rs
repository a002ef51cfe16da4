//! The simulation finds what it is made to find: mistakes that are planted in
//! the engine, each within its number of seeds.

use osmo_engine::sim::Mutant;

use crate::run;

/// How many seeds it takes until one breaks a rule; these begin at 1.
fn found_within(mutant: Mutant, seeds: u64) {
    let found = (1..=seeds).find(|seed| !run::seed(*seed, Some(mutant)).broken_rules.is_empty());
    match found {
        Some(seed) => println!("{mutant:?} is found by seed {seed} of {seeds}"),
        None => panic!("{mutant:?} is not found by {seeds} seeds"),
    }
}

#[test]
fn requests_without_if_match_are_found() {
    found_within(Mutant::NoIfMatch, 300);
}

#[test]
fn a_file_published_before_it_is_verified_is_found() {
    found_within(Mutant::PublishFirst, 50);
}

#[test]
fn a_slice_that_is_not_digested_is_found() {
    found_within(Mutant::SliceSkipped, 10);
}

#[test]
fn a_journal_ahead_of_its_data_is_found() {
    found_within(Mutant::JournalFirst, 800);
}

#[test]
fn a_second_request_from_another_byte_is_found() {
    found_within(Mutant::WrongOffset, 1000);
}

#[test]
fn a_buffer_that_is_kept_is_found() {
    found_within(Mutant::LeaseLeak, 10);
}

#[test]
fn a_final_answer_that_is_asked_again_is_found() {
    found_within(Mutant::FatalRetried, 200);
}

#[test]
fn a_lost_wake_is_found() {
    found_within(Mutant::WakeLost, 20);
}
