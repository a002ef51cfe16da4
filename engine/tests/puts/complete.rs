//! The end of a multipart upload, reviewed.

use osmo_engine::ErrorKind;
use osmo_engine::config::ChecksumChoice;

use crate::desk::{LARGE, each_driver};
use crate::store::{Ends, Rules, Takes};

fn rules(ends: Ends) -> Rules {
    Rules { ends, ..Rules::all() }
}

#[test]
fn an_error_with_status_200_is_one() {
    each_driver(&rules(Ends::ErrorFirst), ChecksumChoice::Auto, |desk| {
        let ended = desk.upload(&[LARGE]);
        desk.arrived(&ended, &[LARGE]);
        assert_eq!(ended.report.retries, 1);
        assert_eq!(desk.store.seen("POST", "uploadId").len(), 2);
    });
}

#[test]
fn a_lost_answer_is_found_by_size_and_tag() {
    each_driver(&rules(Ends::Lost), ChecksumChoice::Auto, |desk| {
        let ended = desk.upload(&[LARGE]);
        desk.arrived(&ended, &[LARGE]);
        assert_eq!(ended.verified(), [("crc64nvme", 1)]);
    });
    // Whoever may not look cannot know.
    let blind = Rules { heads: false, ..rules(Ends::Lost) };
    each_driver(&blind, ChecksumChoice::Auto, |desk| {
        let ended = desk.upload(&[LARGE]);
        assert_eq!(ended.report.failures[0].kind, ErrorKind::NotFound, "{}", ended.reason());
    });
}

#[test]
fn another_whole_than_was_sent_is_corrupt() {
    for ends in [Ends::Wrong, Ends::Short] {
        each_driver(&rules(ends), ChecksumChoice::Auto, |desk| {
            let ended = desk.upload(&[LARGE]);
            assert_eq!(ended.report.failures[0].kind, ErrorKind::Corrupt, "{}", ended.reason());
            assert!(ended.reason().contains("upload it again"), "{}", ended.reason());
        });
    }
}

#[test]
fn parts_that_were_checked_are_enough_where_the_whole_is_not() {
    for rules in
        [rules(Ends::Silent), Rules { heads: false, ..rules(Ends::Silent) }, rules(Ends::OnlyBare)]
    {
        each_driver(&rules, ChecksumChoice::Auto, |desk| {
            let ended = desk.upload(&[LARGE]);
            desk.arrived(&ended, &[LARGE]);
            assert_eq!(ended.verified(), [("crc64nvme", 1)]);
            assert_eq!(desk.store.seen("PUT", "partNumber").len(), 2, "none is sent twice");
        });
    }
}

#[test]
fn an_upload_that_fails_is_given_up() {
    let header = Takes::Refuses("403 Forbidden", "AccessDenied", "Access Denied");
    each_driver(&Rules { header, ..Rules::all() }, ChecksumChoice::Auto, |desk| {
        let ended = desk.upload(&[LARGE]);
        assert_eq!(ended.report.failures[0].kind, ErrorKind::Denied, "{}", ended.reason());
        assert_eq!((desk.store.unfinished(), desk.store.content("large")), (0, None));
        assert_eq!(desk.store.seen("DELETE", "uploadId").len(), 1);
    });
}
