//! Listings that no store should answer with: what is taken from them is
//! right, or nothing is.
#![allow(clippy::unwrap_used)]

mod faults;

use faults::cases::status;
use faults::world::{End, SMALL_BYTES, Sources, World};
use osmo_engine::ErrorKind;
use osmo_tests::fault_server::{Call, Step};
use osmo_tests::{tree, under_both_drivers};

under_both_drivers!(
    a_store_that_dies_between_two_pages,
    pages_in_a_circle,
    pages_that_repeat_under_new_tokens,
    a_page_that_leads_to_itself,
    keys_outside_the_prefix,
    keys_named_twice,
    a_large_key_named_twice,
    documents_that_are_none,
    a_document_that_ends_early,
    a_page_without_end,
    sizes_that_are_not_so,
    answers_after_many_pages,
);

fn page(entries: &str, next: Option<&str>) -> Step {
    let next = next.map_or_else(String::new, |token| {
        format!("<NextContinuationToken>{token}</NextContinuationToken>")
    });
    let more = !next.is_empty();
    Step::Status(
        200,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>bkt</Name>\
             <IsTruncated>{more}</IsTruncated>{next}{entries}</ListBucketResult>"
        ),
    )
}

/// The first object of the server has the tag 2.
fn entry(key: &str, bytes: u64, tag: u32) -> String {
    format!(
        "<Contents><Key>{key}</Key><LastModified>2015-10-21T07:28:00.000Z</LastModified>\
         <ETag>&quot;etag-{tag:08}&quot;</ETag><Size>{bytes}</Size></Contents>"
    )
}

/// Downloads `p/`, looks for leftovers, and tells the end and what arrived.
fn downloaded(world: &World) -> (End, String, String) {
    let to = tempfile::tempdir().unwrap();
    let (end, sentence) = End::of(&world.download("s3://bkt/p/", to.path()));
    tree::assert_no_leftovers(to.path());
    assert_eq!(world.server.connections_left(), 0);
    assert_eq!(world.server.violations(), Vec::<String>::new());
    (end, sentence, tree::sha256sums(to.path()).unwrap())
}

fn held(driver: &str) -> (World, String) {
    let world = World::new(driver);
    world.hold("small");
    (world, tree::sha256sums(&Sources::get().path("small")).unwrap())
}

/// What arrived is part of what is there.
fn assert_part_of(found: &str, whole: &str) {
    assert!(found.lines().all(|line| whole.contains(line)), "{found} is not part of {whole}");
}

fn assert_ends_in(world: &World, whole: &str, kind: ErrorKind, word: &str) {
    let (end, sentence, found) = downloaded(world);
    assert_eq!(end, End::Failed(kind), "{sentence}");
    assert!(sentence.contains(word), "no {word:?} in: {sentence}");
    assert_part_of(&found, whole);
}

fn a_store_that_dies_between_two_pages(driver: &str) {
    let (world, whole) = held(driver);
    world.server.page_keys(1);
    let down = std::iter::once(Step::Ok).chain((0..9).map(|_| status(500, "InternalError")));
    world.server.script(Call::List, "", down);
    assert_ends_in(&world, &whole, ErrorKind::Store, "try again later");
}

fn pages_in_a_circle(driver: &str) {
    let (world, whole) = held(driver);
    let pages = (0..50).map(|turn| page("", Some(["one", "two", "three"][turn % 3])));
    world.server.script(Call::List, "", pages);
    assert_ends_in(&world, &whole, ErrorKind::Protocol, "in circles");
    assert!(world.server.requests(Call::List) < 10);
}

fn pages_that_repeat_under_new_tokens(driver: &str) {
    let (world, whole) = held(driver);
    let entry = entry("p/other", 5_000, 3);
    let pages = (0..50).map(|turn| page(&entry, Some(&format!("token-{turn}"))));
    world.server.script(Call::List, "", pages);
    assert_ends_in(&world, &whole, ErrorKind::Protocol, "in circles");
    assert!(world.server.requests(Call::List) < 10);
}

fn a_page_that_leads_to_itself(driver: &str) {
    let (world, whole) = held(driver);
    world.server.always(Call::List, "", page("", Some("again")));
    assert_ends_in(&world, &whole, ErrorKind::Protocol, "does not advance");
}

fn keys_outside_the_prefix(driver: &str) {
    let (world, whole) = held(driver);
    world.server.always(Call::List, "", page(&entry("q/other", 5_000, 3), None));
    assert_ends_in(&world, &whole, ErrorKind::Protocol, "q/other");
}

fn keys_named_twice(driver: &str) {
    let (world, whole) = held(driver);
    let twice = entry("p/other", 5_000, 3) + &entry("p/other", 5_000, 3);
    let entries = entry("p/target", SMALL_BYTES, 2) + &twice;
    world.server.always(Call::List, "", page(&entries, None));
    let (end, sentence, found) = downloaded(&world);
    assert_eq!((end, found), (End::Done, whole), "{sentence}");
}

/// Both are fetched in parts at the same time, and must not share a file.
fn a_large_key_named_twice(driver: &str) {
    const BYTES: u64 = (20 << 20) + 7;
    let world = World::new(driver);
    let source = tempfile::tempdir().unwrap();
    tree::random_file(&source.path().join("large"), BYTES, 1).unwrap();
    world.server.put("p/large", std::fs::read(source.path().join("large")).unwrap());
    let twice = entry("p/large", BYTES, 2) + &entry("p/large", BYTES, 2);
    world.server.always(Call::List, "", page(&twice, None));
    let (end, sentence, found) = downloaded(&world);
    assert_eq!((end, found), (End::Done, tree::sha256sums(source.path()).unwrap()), "{sentence}");
}

fn documents_that_are_none(driver: &str) {
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \
                \"&a;&a;&a;&a;&a;&a;\">]><ListBucketResult><Name>&b;</Name></ListBucketResult>";
    for text in [
        "",
        "{\"Contents\": []}",
        "<html><body>It works!</body></html>",
        "<ListBucketResult><Contents></ListBucketResult>",
        "<Error><Code>InternalError</Code><Message>in a success</Message></Error>",
        bomb,
    ] {
        let (world, whole) = held(driver);
        world.server.always(Call::List, "", Step::Status(200, text.to_owned()));
        let (end, sentence, found) = downloaded(&world);
        let store = matches!(end, End::Failed(ErrorKind::Protocol | ErrorKind::Store));
        assert!(store, "{text}: {end:?}: {sentence}");
        assert_part_of(&found, &whole);
    }
}

/// Well framed, and cut between two objects: the second must not be forgotten.
fn a_document_that_ends_early(driver: &str) {
    let entries = entry("p/other", 5_000, 3) + &entry("p/target", SMALL_BYTES, 2);
    let Step::Status(_, whole_page) = page(&entries, None) else { unreachable!() };
    let cut = whole_page.find("</Contents>").unwrap() + "</Contents>".len();
    for at in [cut, cut - 3, whole_page.find("<Contents>").unwrap(), 40] {
        let (world, whole) = held(driver);
        world.server.always(Call::List, "", Step::Status(200, whole_page[..at].to_owned()));
        let (end, sentence, found) = downloaded(&world);
        assert_eq!(end, End::Failed(ErrorKind::Protocol), "cut at {at}: {sentence}");
        assert_part_of(&found, &whole);
    }
}

fn a_page_without_end(driver: &str) {
    let (world, whole) = held(driver);
    let entries = entry("p/other", 5_000, 3).repeat(60_000);
    world.server.always(Call::List, "", page(&entries, None));
    assert_ends_in(&world, &whole, ErrorKind::Protocol, "larger than");
    assert_eq!(world.server.requests(Call::GetWhole), 0);
}

fn sizes_that_are_not_so(driver: &str) {
    for bytes in [0, SMALL_BYTES - 1, SMALL_BYTES + 1, 9 << 20, 1 << 62] {
        let (world, whole) = held(driver);
        world.server.always(Call::List, "", page(&entry("p/target", bytes, 2), None));
        let (end, sentence, found) = downloaded(&world);
        let kind = match end {
            End::Partial(kind) | End::Failed(kind) => kind,
            End::Done => panic!("{bytes} bytes arrived: {found}"),
        };
        let named = matches!(kind, ErrorKind::Changed | ErrorKind::DiskFull);
        assert!(named, "{bytes}: {kind:?}: {sentence}");
        assert_part_of(&found, &whole);
        assert_eq!(found, "", "{bytes}");
    }
}

fn answers_after_many_pages(driver: &str) {
    let world = World::new(driver);
    for number in 0..300 {
        world.server.put(&format!("p/{number}"), number.to_string());
    }
    world.server.page_keys(7);
    let (end, sentence, found) = downloaded(&world);
    assert_eq!(end, End::Done, "{sentence}");
    assert_eq!(found.lines().count(), 300);
    // `printf 42 | sha256sum`
    let sum = "73475cb40a568e8da8a045ced110137e159f890ac4da883b6b17dc651b3a8049  ./42\n";
    assert!(found.contains(sum), "{found}");
}
