//! What `If-None-Match` does beside checksums.

use osmo_engine::config::ChecksumChoice;

use crate::desk::{MIDDLE, SMALL, each_driver};
use crate::store::{Rules, Takes};

/// As S3 puts it, which names no field.
const REFUSED: Takes = Takes::Refuses(
    "501 Not Implemented",
    "NotImplemented",
    "A header you provided implies functionality that is not implemented.",
);

#[test]
fn what_was_stored_wrong_is_replaced_and_not_skipped() {
    // The framing is kept as content at first, and is then what is there.
    let rules = Rules { trailer: Takes::Ignores, ..Rules::all() };
    each_driver(&rules, ChecksumChoice::Trailer, |desk| {
        let ended = desk.upload_new(&[MIDDLE]);
        desk.arrived(&ended, &[MIDDLE]);
        assert_eq!((ended.report.files, ended.report.files_skipped), (1, 0));
        assert_eq!(ended.verified(), [("crc64nvme", 1)]);
        // What is there and good stays.
        let again = desk.upload_new(&[MIDDLE]);
        assert_eq!((again.report.files, again.report.files_skipped), (0, 1));
    });
}

#[test]
fn a_store_without_conditions_still_checks() {
    let rules = Rules { conditions: REFUSED, ..Rules::all() };
    for choice in [ChecksumChoice::Auto, ChecksumChoice::Header] {
        each_driver(&rules, choice, |desk| {
            let ended = desk.upload_new(&[SMALL, MIDDLE]);
            desk.arrived(&ended, &[SMALL, MIDDLE]);
            assert_eq!(ended.verified(), [("crc64nvme", 2)]);
            assert!(ended.notes.is_empty(), "{:?}", ended.notes);
        });
    }
}
