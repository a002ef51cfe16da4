//! Runs cases and looks for what must never be there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use osmo_engine::config::ChecksumChoice;
use osmo_tests::fault_server::{Call, REGION, Step};
use osmo_tests::tree;

use super::cases::{Case, Times, all, status};
use super::expected;
use super::world::{End, Sources, World, descriptors, waits};

/// Real time that a case may take; it needs a second or two.
const CASE_MAX: Duration = Duration::from_secs(90);
/// Cases at a time: most of them wait.
const LANES: usize = 12;
/// Cases between two counts of descriptors.
const BATCH: usize = 96;
/// The patience of a case that waits for what never comes; and where that is
/// not enough because the machine has other things to do, the same again.
const SILENCES_MS: [u64; 2] = [700, 5_000];

/// The whole matrix under one driver; must be alone in its process.
pub(crate) fn run(driver: &str) {
    let only = std::env::var("OSMO_FAULT_CASE").unwrap_or_default();
    let cases: Vec<_> = all().into_iter().filter(|case| case.to_string().contains(&only)).collect();
    assert!(!cases.is_empty(), "no case is named {only}");
    // What a process opens once and keeps.
    Sources::get();
    let plain = Case { call: Call::GetWhole, step: Step::Ok, times: Times::Once, trailer: false };
    one(driver, &plain).unwrap();
    let mut failed = Vec::new();
    for batch in cases.chunks(BATCH) {
        let before = descriptors();
        failed.extend(lanes(driver, batch));
        let after = descriptors();
        if before.len() != after.len() {
            let (first, last) = (&batch[0], &batch[batch.len() - 1]);
            failed.push(format!("descriptors leak in {first} … {last}: {before:?} {after:?}"));
        }
    }
    let count = cases.len();
    assert!(failed.is_empty(), "{} of {count} failed:\n{}", failed.len(), failed.join("\n"));
}

fn lanes(driver: &str, cases: &[Case]) -> Vec<String> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = one(driver, case) {
                        failed.lock().unwrap().push(format!("{driver}: {case}: {why}"));
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

/// One case, watched: a hang is a failure with a name.
fn one(driver: &str, case: &Case) -> Result<(), String> {
    let (tell, told) = channel();
    let (owned, driver) = (case.clone(), driver.to_owned());
    let thread = std::thread::spawn(move || {
        let ended = catch_unwind(AssertUnwindSafe(|| check(&driver, &owned)));
        let ended = ended.unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<String>().cloned();
            Err(words.unwrap_or_else(|| "panicked".to_owned()))
        });
        let _ = tell.send(ended);
    });
    match told.recv_timeout(CASE_MAX) {
        Ok(ended) => {
            // Its descriptors are closed once it has ended.
            let _ = thread.join();
            ended
        }
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            Err(format!("hangs for {CASE_MAX:?}"))
        }
    }
}

fn check(driver: &str, case: &Case) -> Result<(), String> {
    if !case.is_silent() {
        return checked(World::new(driver), case);
    }
    let with = |silence_ms| checked(World::new(driver).with_waits(waits(silence_ms)), case);
    with(SILENCES_MS[0]).or_else(|_| with(SILENCES_MS[1]))
}

fn checked(world: World, case: &Case) -> Result<(), String> {
    let world = if case.trailer { world.with_checksum(ChecksumChoice::Trailer) } else { world };
    script(&world, case);
    let (end, sentence) = match case.call {
        Call::List | Call::Head | Call::Attributes | Call::GetWhole | Call::GetRange => {
            download(&world, case)?
        }
        Call::Put | Call::Create | Call::UploadPart | Call::Complete | Call::Abort => {
            upload(&world, case)?
        }
        Call::Delete | Call::DeleteMany => delete(&world)?,
        Call::HeadBucket | Call::BucketLocation => End::of(&world.check()),
    };
    let due = expected::end(case);
    if end != due {
        return Err(format!("ends in {end:?}, not {due:?}: {sentence}"));
    }
    if case.trailer && world.server.trailed(case.call) == 0 {
        return Err("nothing came with a trailer".to_owned());
    }
    moved(&world, case)?;
    leaks(&world, case)
}

/// Whoever is sent to another region signs for it.
fn moved(world: &World, case: &Case) -> Result<(), String> {
    let Step::RedirectRegion(region) = &case.step else { return Ok(()) };
    let signed_for = world.server.signed_for(case.call);
    // Others may have been signed before the move and come after it.
    let followed =
        signed_for.first().is_some_and(|first| first == REGION) && signed_for.contains(region);
    if followed { Ok(()) } else { Err(format!("signed for {signed_for:?}")) }
}

/// Nothing but what lay below the prefix is gone, and all of it in the end.
fn delete(world: &World) -> Result<(End, String), String> {
    world.hold("small");
    world.server.put("beside", "stays");
    let (end, sentence) = End::of(&world.delete("s3://bkt/p/"));
    let keys = world.server.keys();
    if !keys.iter().any(|key| key == "beside") {
        return Err(format!("{end:?} took what nobody named"));
    }
    if end == End::Done && keys.len() > 1 {
        return Err(format!("{end:?}, but {keys:?} are there"));
    }
    Ok((end, sentence))
}

fn script(world: &World, case: &Case) {
    let key = match case.call {
        Call::List | Call::DeleteMany | Call::HeadBucket => "",
        _ => "target",
    };
    match case.times {
        Times::Once => world.server.script(case.call, key, [case.step.clone()]),
        Times::Always => world.server.always(case.call, key, case.step.clone()),
    }
    if case.call == Call::Delete {
        world.server.always(Call::DeleteMany, "", status(501, "NotImplemented"));
    }
    if case.call == Call::Abort {
        world.server.always(Call::Complete, key, status(403, "AccessDenied"));
    }
}

fn download(world: &World, case: &Case) -> Result<(End, String), String> {
    let source =
        if case.call == Call::GetWhole || case.call == Call::List { "small" } else { "ranged" };
    world.hold(source);
    let remote = if case.call == Call::Head { "s3://bkt/p/target" } else { "s3://bkt/p/" };
    let to = tempfile::tempdir().unwrap();
    let (end, sentence) = End::of(&world.download(remote, to.path()));
    let mut due = Sources::get().sums(source);
    match end {
        End::Done if case.call == Call::Head => due = without(&due, "other"),
        End::Done => {}
        End::Partial(_) if case.call == Call::Head => due.clear(),
        End::Partial(_) => due = without(&due, "target"),
        End::Failed(_) => due.clear(),
    }
    let found = tree::sha256sums(to.path()).unwrap();
    if found != due {
        return Err(format!("{end:?} left {found:?} instead of {due:?}: {sentence}"));
    }
    let left = tree::leftovers(to.path()).map_err(|error| error.to_string())?;
    if !left.is_empty() || (end == End::Done && to.path().join(".osmo-partial").exists()) {
        return Err(format!("{end:?} left the partial folder, with {left:?}"));
    }
    Ok((end, sentence))
}

fn without(sums: &str, name: &str) -> String {
    let kept = sums.lines().filter(|line| !line.ends_with(&format!("/{name}")));
    kept.map(|line| format!("{line}\n")).collect()
}

fn upload(world: &World, case: &Case) -> Result<(End, String), String> {
    let source = match (case.call, case.trailer) {
        (Call::Put, false) => "small",
        (Call::Put, true) => "streamed",
        _ => "parted",
    };
    let (end, sentence) = End::of(&world.upload(source));
    for (name, due) in [("other", true), ("target", end == End::Done)] {
        let stored = world.server.object(&format!("up/{name}"));
        let (whole, _) = Sources::get().bytes(&format!("{source}/{name}"));
        match stored {
            Some(stored) if stored != whole => return Err(format!("{name} has wrong bytes")),
            // A PUT whose answer was lost is there, and whole. A name without an
            // extension is a text's.
            Some(_) => {
                let kind = world.server.content_type(&format!("up/{name}"));
                if kind.as_deref() != Some("text/plain") {
                    return Err(format!("{name} is stored as {kind:?}"));
                }
            }
            None if due => return Err(format!("{end:?}, but {name} is not there: {sentence}")),
            None => {}
        }
    }
    Ok((end, sentence))
}

fn leaks(world: &World, case: &Case) -> Result<(), String> {
    let server = &world.server;
    let open = server.connections_left();
    if open > 0 {
        return Err(format!("{open} connections are left open"));
    }
    let left = server.unfinished_uploads();
    let noted = world.notes().iter().any(|note| note.contains("lifecycle rule"));
    match (left, expected::may_leave_an_upload(case)) {
        (0, false) => {}
        (1.., true) if noted => {}
        // The store has done what it was asked for, or says so.
        (0, true) => {}
        (1, false) if case.call == Call::Abort && matches!(case.step, Step::Status(404, _)) => {}
        _ => return Err(format!("{left} uploads are left, noted: {noted}")),
    }
    // A completion with a tag that the store made up is refused.
    let made_up = case.call == Call::UploadPart && case.step == Step::ChangedEtag;
    match server.violations().first() {
        Some(why) if !made_up => Err(format!("the engine asked wrongly: {why}")),
        _ => Ok(()),
    }
}
