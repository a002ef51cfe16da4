//! A store that nobody reaches any more: the job ends, and does not go on
//! through everything that there is.
#![allow(clippy::unwrap_used)]

mod faults;

use std::time::Duration;

use faults::world::{RANGED_BYTES, World, waits};
use osmo_engine::report::Report;
use osmo_engine::{ErrorKind, Result};
use osmo_tests::fault_server::{Call, Step};
use osmo_tests::under_both_drivers;

under_both_drivers!(
    a_download_ends,
    a_download_ends_that_never_gets_past_a_head,
    an_upload_ends,
    an_upload_ends_that_asks_first,
    deletions_one_by_one_end,
);

/// Far more than the engine has places for.
const OBJECTS: usize = 1_500;
const PAGE: usize = 50;

fn impatient(driver: &str) -> World {
    let mut waits = waits(10_000);
    waits.retry.lost_max = 4;
    waits.retry.lost_for = Duration::ZERO;
    World::new(driver).with_waits(waits)
}

fn full(driver: &str) -> World {
    let world = impatient(driver);
    world.server.page_keys(PAGE);
    for number in 0..OBJECTS {
        world.server.put(&format!("p/{number}"), number.to_string());
    }
    world
}

fn assert_ended(world: &World, ended: Result<Report>, call: Call) {
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains("not tried"), "{error}");
    let asked = world.server.requests(call);
    // Three attempts each for those that were under way.
    assert!(asked < OBJECTS, "{asked} requests");
    assert_eq!(world.server.connections_left(), 0);
}

fn a_download_ends(driver: &str) {
    let world = full(driver);
    world.server.always(Call::GetWhole, "p/", Step::Reset(0));
    let to = tempfile::tempdir().unwrap();
    assert_ended(&world, world.download("s3://bkt/p/", to.path()), Call::GetWhole);
    osmo_tests::tree::assert_no_leftovers(to.path());
    assert!(world.server.requests(Call::List) < OBJECTS / PAGE, "listed to the end");
}

/// Listed as large, so that each is asked for its checksums first.
fn a_download_ends_that_never_gets_past_a_head(driver: &str) {
    let world = impatient(driver);
    let entries = |from: usize| {
        let entry = |number: usize| {
            format!(
                "<Contents><Key>p/{number}</Key><ETag>&quot;e&quot;</ETag>\
                 <Size>{RANGED_BYTES}</Size></Contents>"
            )
        };
        (from..from + PAGE).map(entry).collect::<String>()
    };
    let page = |number: usize| {
        Step::Status(
            200,
            format!(
                "<ListBucketResult><Name>bkt</Name><IsTruncated>true</IsTruncated>\
                 <NextContinuationToken>after-{number}</NextContinuationToken>{}\
                 </ListBucketResult>",
                entries(number * PAGE)
            ),
        )
    };
    world.server.script(Call::List, "", (0..OBJECTS / PAGE).map(page));
    world.server.always(Call::Head, "p/", Step::Reset(0));
    let to = tempfile::tempdir().unwrap();
    assert_ended(&world, world.download("s3://bkt/p/", to.path()), Call::Head);
}

fn files(count: usize) -> tempfile::TempDir {
    let from = tempfile::tempdir().unwrap();
    for number in 0..count {
        std::fs::write(from.path().join(number.to_string()), number.to_string()).unwrap();
    }
    from
}

fn an_upload_ends(driver: &str) {
    let (world, from) = (impatient(driver), files(OBJECTS));
    world.server.always(Call::Put, "", Step::Reset(0));
    assert_ended(&world, world.upload_all(from.path(), |_| {}), Call::Put);
}

fn an_upload_ends_that_asks_first(driver: &str) {
    let (world, from) = (impatient(driver), files(OBJECTS));
    world.server.always(Call::Head, "", Step::Reset(0));
    let skip = |job: &mut osmo_engine::UploadJob| job.if_exists = osmo_engine::job::IfExists::Skip;
    assert_ended(&world, world.upload_all(from.path(), skip), Call::Head);
}

fn deletions_one_by_one_end(driver: &str) {
    let world = full(driver);
    world.server.always(Call::DeleteMany, "", Step::Status(501, String::new()));
    world.server.always(Call::Delete, "p/", Step::Reset(0));
    assert_ended(&world, world.delete("s3://bkt/p/"), Call::Delete);
}
