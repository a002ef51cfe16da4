use osmo_engine::Progress;
use osmo_protocol::events::Phase;

use super::{Backend, Direction, Kind, Meters, RetryReason};

#[test]
fn labels_stand_at_their_numbers() {
    for (at, phase) in Phase::ALL.into_iter().enumerate() {
        assert_eq!(phase as usize, at);
        let told = serde_json::to_value(phase).ok();
        assert_eq!(told, Some(phase.name().into()), "the events call it the same");
    }
    assert_eq!(Backend::of("gs://bucket/x"), Backend::Gs);
    assert_eq!(Backend::of("ftp://bucket/x"), Backend::Other);
    assert_eq!(Backend::of("nonsense"), Backend::Other);
}

#[test]
fn a_transfer_counts_what_is_new_and_never_backwards() {
    let meters = Meters::new();
    meters.enter(Phase::Download);
    let mut transfer = meters.transfer(Direction::In, "s3://bucket/x");
    let progress = |bytes_done, files_done, retries| Progress {
        bytes_done,
        files_done,
        retries,
        ..Progress::default()
    };
    transfer.see(&progress(100, 1, 2));
    transfer.see(&progress(40, 0, 0));
    transfer.see(&progress(100, 1, 2));
    assert_eq!(meters.transfers(), 1);
    meters.enter(Phase::Run);
    transfer.see(&progress(150, 3, 2));
    drop(transfer);
    assert_eq!(meters.moved(Direction::In, Backend::S3, Phase::Download), (100, 1));
    assert_eq!(meters.moved(Direction::In, Backend::S3, Phase::Run), (50, 2));
    assert_eq!(meters.moved(Direction::Out, Backend::S3, Phase::Download), (0, 0));
    assert_eq!((meters.retries(RetryReason::Request), meters.transfers()), (2, 0));
}

#[test]
fn sessions_close_with_their_guards_and_links_reopen() {
    let meters = Meters::new();
    let (one, two) = (meters.session(Kind::Tcp), meters.session(Kind::Tcp));
    meters.carried(Kind::Tcp, Direction::Out, 7);
    drop(one);
    assert_eq!(meters.sessions(Kind::Tcp), (1, 2));
    drop(two);
    assert_eq!(meters.sessions(Kind::Tcp), (0, 2));
    assert_eq!(meters.session_bytes(Kind::Tcp, Direction::Out), 7);
    assert_eq!(meters.session_bytes(Kind::Web, Direction::Out), 0);

    assert!(!meters.link_is_up());
    assert_eq!(meters.link_reconnects(), 0);
    for _ in 0..3 {
        meters.link_up();
        meters.link_down();
    }
    meters.link_up();
    assert!(meters.link_is_up());
    assert_eq!(meters.link_reconnects(), 3);
}

#[test]
fn time_belongs_to_the_phase_it_was_spent_in() {
    let meters = Meters::new();
    std::thread::sleep(std::time::Duration::from_millis(20));
    meters.enter(Phase::Download);
    let (init, run) = (meters.phase_time(Phase::Init), meters.phase_time(Phase::Run));
    assert!(init.as_millis() >= 20, "{init:?}");
    assert_eq!(run.as_micros(), 0);
    assert_eq!(meters.phase_time(Phase::Init), init, "it is over");
    assert_eq!(meters.phase(), Phase::Download);
}
