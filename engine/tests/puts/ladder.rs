//! Which checksum goes along, and what a refusal changes.

use std::sync::Arc;

use osmo_engine::ErrorKind;
use osmo_engine::config::ChecksumChoice;

use crate::desk::{LARGE, MIDDLE, SMALL, each_driver};
use crate::store::{Head, Rules, Takes};

const FILES: [(&str, usize); 4] = [SMALL, MIDDLE, LARGE, ("empty", 0)];

const NO_CHECKSUM: Takes = Takes::Refuses(
    "400 Bad Request",
    "InvalidRequest",
    "The header x-amz-checksum-crc64nvme is not supported",
);
const NO_HEADER: Takes = Takes::Refuses(
    "501 Not Implemented",
    "NotImplemented",
    "A header you provided implies functionality that is not implemented.",
);
const NO_MD5: Takes =
    Takes::Refuses("400 Bad Request", "InvalidArgument", "Content-MD5 is not supported");

fn with<'a>(heads: &'a [Head], field: &str) -> Vec<&'a Head> {
    heads.iter().filter(|head| head.field(field).is_some()).collect()
}

#[test]
fn a_trailer_follows_what_buffers_do_not_hold() {
    each_driver(&Rules::all(), ChecksumChoice::Trailer, |desk| {
        let ended = desk.upload(&FILES);
        desk.arrived(&ended, &FILES);
        assert_eq!(ended.verified(), [("crc64nvme", 4)]);
        assert_eq!((ended.report.retries, ended.notes), (0, vec![]));
        let puts = desk.store.seen("PUT", "/");
        // The store decodes each: the middle file, and a part of 16 MiB.
        assert_eq!(with(&puts, "x-amz-trailer").len(), 2);
        // Known before they go: the small file, the empty one, the last part.
        assert_eq!(with(&puts, "x-amz-checksum-crc64nvme").len(), 3);
    });
}

#[test]
fn an_endpoint_that_nobody_knows_gets_a_header() {
    each_driver(&Rules::all(), ChecksumChoice::Auto, |desk| {
        let ended = desk.upload(&FILES);
        desk.arrived(&ended, &FILES);
        assert_eq!(ended.verified(), [("crc64nvme", 4)]);
        let puts = desk.store.seen("PUT", "/");
        assert_eq!(with(&puts, "x-amz-checksum-crc64nvme").len(), 5);
        assert!(puts.iter().all(|put| put.field("content-encoding").is_none()));
    });
}

#[test]
fn a_refused_trailer_becomes_a_header_and_stays_one() {
    let unknown = "Unknown encoding aws-chunked";
    for (trailer, files) in [
        (NO_HEADER, &[MIDDLE, LARGE][..]),
        (Takes::Refuses("400 Bad Request", "XAmzContentSHA256Mismatch", "No match"), &[MIDDLE]),
        (Takes::Refuses("411 Length Required", "MissingContentLength", "Length?"), &[MIDDLE]),
        (Takes::Refuses("400 Bad Request", "InvalidArgument", unknown), &[MIDDLE]),
    ] {
        let rules = Rules { trailer, ..Rules::all() };
        each_driver(&rules, ChecksumChoice::Trailer, |desk| {
            let ended = desk.upload(files);
            desk.arrived(&ended, files);
            assert_eq!(ended.verified(), [("crc64nvme", files.len() as u64)]);
            assert_eq!(ended.notes.len(), 1, "{:?}", ended.notes);
            let begun = desk.store.seen("POST", "uploads").len();
            assert_eq!(begun, files.len() - 1, "the upload goes on");
            let before = with(&desk.store.seen("PUT", "/"), "x-amz-trailer").len();
            desk.arrived(&desk.upload(&[MIDDLE]), &[MIDDLE]);
            let after = with(&desk.store.seen("PUT", "/"), "x-amz-trailer").len();
            assert_eq!(after, before, "it is remembered");
        });
    }
}

#[test]
fn framing_never_stays_as_content() {
    for trailer in [Takes::Ignores, Takes::Silently] {
        let rules = Rules { trailer, ..Rules::all() };
        each_driver(&rules, ChecksumChoice::Trailer, |desk| {
            let files = [MIDDLE, LARGE];
            let ended = desk.upload(&files);
            desk.arrived(&ended, &files);
            assert_eq!(ended.verified(), [("crc64nvme", 2)]);
            assert!(!with(&desk.store.seen("PUT", "/"), "x-amz-trailer").is_empty());
        });
    }
}

#[test]
fn a_store_that_wants_md5_gets_it() {
    // Some refuse at the beginning of a multipart upload, some at its parts.
    for (header, create) in
        [(NO_CHECKSUM, NO_CHECKSUM), (NO_HEADER, Takes::Ignores), (NO_CHECKSUM, NO_HEADER)]
    {
        let rules = Rules { header, create, ..Rules::all() };
        each_driver(&rules, ChecksumChoice::Auto, |desk| {
            let ended = desk.upload(&FILES);
            desk.arrived(&ended, &FILES);
            // The whole of the large one is named by the store in CRC64NVME.
            assert_eq!(ended.verified(), [("crc64nvme", 1), ("md5", 3)]);
            assert_eq!(ended.notes.len(), 1, "{:?}", ended.notes);
            let progress = ended.report.bytes;
            assert_eq!(progress, FILES.iter().map(|(_, bytes)| *bytes as u64).sum::<u64>());
            let before = with(&desk.store.seen("PUT", "/"), "x-amz-checksum-crc64nvme").len();
            let again = desk.upload(&[SMALL, MIDDLE]);
            desk.arrived(&again, &[SMALL, MIDDLE]);
            assert!(again.notes.is_empty(), "{:?}", again.notes);
            let puts = desk.store.seen("PUT", "/");
            assert_eq!(with(&puts, "x-amz-checksum-crc64nvme").len(), before, "remembered");
        });
    }
}

#[test]
fn a_store_that_demands_md5_by_its_code_gets_it() {
    let missing = "Missing required header for this request: Content-MD5";
    for code in ["InvalidRequest", "MissingContentMD5"] {
        let header = Takes::Refuses("400 Bad Request", code, missing);
        let rules = Rules { header, ..Rules::all() };
        each_driver(&rules, ChecksumChoice::Auto, |desk| {
            let ended = desk.upload(&[SMALL, MIDDLE]);
            desk.arrived(&ended, &[SMALL, MIDDLE]);
            assert_eq!(ended.verified(), [("md5", 2)]);
        });
    }
}

#[test]
fn a_store_that_checks_nothing_is_told_of_once() {
    let rules = Rules { header: NO_CHECKSUM, create: NO_CHECKSUM, md5: NO_MD5, ..Rules::all() };
    each_driver(&rules, ChecksumChoice::Auto, |desk| {
        let files = [SMALL, MIDDLE];
        for first in [true, false] {
            let ended = desk.upload(&files);
            desk.arrived(&ended, &files);
            assert_eq!((ended.verified(), ended.report.verification.unverifiable), (vec![], 2));
            let warned = ended.notes.iter().filter(|note| note.contains("unnoticed")).count();
            assert_eq!((warned, ended.notes.len()), (1, 1 + usize::from(first)));
        }
        // Its own word on the whole is better than none.
        let ended = desk.upload(&[LARGE]);
        desk.arrived(&ended, &[LARGE]);
        assert_eq!(ended.verified(), [("crc64nvme", 1)]);
    });
}

#[test]
fn a_store_that_ignores_everything_is_not_trusted() {
    let (header, create, md5) = (Takes::Ignores, Takes::Ignores, Takes::Ignores);
    let ends = crate::store::Ends::Silent;
    let rules = Rules { header, create, md5, ends, ..Rules::all() };
    each_driver(&rules, ChecksumChoice::Auto, |desk| {
        let ended = desk.upload(&FILES);
        desk.arrived(&ended, &FILES);
        assert_eq!((ended.verified(), ended.report.verification.unverifiable), (vec![], 4));
        assert_eq!(desk.store.seen("HEAD", "/large").len(), 1, "at least its size");
    });
}

#[test]
fn other_refusals_change_nothing() {
    for (status, code, kind, attempts) in [
        ("400 Bad Request", "BadDigest", ErrorKind::Corrupt, 2),
        ("403 Forbidden", "AccessDenied", ErrorKind::Denied, 1),
        ("400 Bad Request", "InvalidArgument", ErrorKind::Protocol, 1),
        ("400 Bad Request", "InvalidDigest", ErrorKind::Corrupt, 2),
    ] {
        for choice in [ChecksumChoice::Auto, ChecksumChoice::Trailer] {
            let rules = Rules { denies: Some((status, code)), ..Rules::all() };
            each_driver(&rules, choice, |desk| {
                let ended = desk.upload(&[MIDDLE]);
                assert_eq!(ended.report.failures[0].kind, kind, "{}", ended.reason());
                let puts = desk.store.seen("PUT", "/");
                assert_eq!(puts.len(), attempts);
                assert!(with(&puts, "content-md5").is_empty());
                assert!(ended.notes.is_empty(), "{:?}", ended.notes);
            });
        }
    }
}

#[test]
fn a_refusal_for_another_reason_is_not_remembered() {
    let denies = Some(("501 Not Implemented", "NotImplemented"));
    let rules = Rules { denies, ..Rules::all() };
    each_driver(&rules, ChecksumChoice::Auto, |desk| {
        for _ in 0..2 {
            let ended = desk.upload(&[SMALL]);
            assert_eq!(ended.report.failures[0].kind, ErrorKind::Unsupported, "{}", ended.reason());
        }
        let puts = desk.store.seen("PUT", "/");
        assert_eq!(with(&puts, "x-amz-checksum-crc64nvme").len(), 2);
    });
}

#[test]
fn a_choice_is_kept() {
    let rules = Rules { header: NO_CHECKSUM, create: NO_CHECKSUM, ..Rules::all() };
    each_driver(&rules, ChecksumChoice::Header, |desk| {
        let ended = desk.upload(&[SMALL, LARGE]);
        assert_eq!(ended.report.failures_total, 2);
        for failure in &ended.report.failures {
            assert_eq!(failure.kind, ErrorKind::Unsupported, "{}", failure.reason);
            assert!(failure.reason.contains("--upload-checksum"), "{}", failure.reason);
        }
        assert_eq!((desk.store.content("small"), desk.store.unfinished()), (None, 0));
    });
    each_driver(&Rules::all(), ChecksumChoice::None, |desk| {
        let files = [SMALL, MIDDLE, LARGE];
        let ended = desk.upload(&files);
        desk.arrived(&ended, &files);
        assert_eq!(ended.verified(), [("crc64nvme", 1)]);
        let heads = [desk.store.seen("PUT", "/"), desk.store.seen("POST", "/")].concat();
        for field in ["checksum-crc64nvme", "checksum-algorithm", "trailer"] {
            assert!(with(&heads, &format!("x-amz-{field}")).is_empty(), "{field}");
        }
        assert!(with(&heads, "content-md5").is_empty());
    });
    each_driver(&Rules::all(), ChecksumChoice::ContentMd5, |desk| {
        let ended = desk.upload(&[SMALL, MIDDLE]);
        desk.arrived(&ended, &[SMALL, MIDDLE]);
        assert_eq!(ended.verified(), [("md5", 2)]);
    });
}

#[test]
fn a_file_that_changes_behind_a_trailer_is_not_stored() {
    let size = ("moving", 16_000_000);
    let path = Arc::new(std::sync::Mutex::new(None::<std::path::PathBuf>));
    let moved = Arc::clone(&path);
    let half = Arc::new(move || {
        if let Some(path) = &*moved.lock().unwrap() {
            std::fs::write(path, b"another").unwrap();
        }
    });
    let rules = Rules { half, ..Rules::all() };
    each_driver(&rules, ChecksumChoice::Trailer, |desk| {
        *path.lock().unwrap() = Some(desk.file(size));
        let ended = desk.upload(&[size]);
        assert_eq!(ended.report.failures[0].kind, ErrorKind::Changed, "{}", ended.reason());
        assert_eq!(desk.store.content("moving"), None);
    });
}
