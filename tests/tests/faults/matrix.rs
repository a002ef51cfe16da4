//! Runs cases and looks for what must never be there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use osmo_tests::fault_server::{Call, Step};
use osmo_tests::tree;

use super::cases::{Case, Times, all, status};
use super::expected;
use super::world::{End, Sources, World, descriptors, waits};

/// Real time that a case may take; it needs a second or two.
const CASE_MAX: Duration = Duration::from_secs(40);
/// Cases at a time: most of them wait.
const LANES: usize = 6;
/// Cases between two counts of descriptors.
const BATCH: usize = 48;

/// The whole matrix under one driver; must be alone in its process.
pub(crate) fn run(driver: &str) {
    let only = std::env::var("OSMO_FAULT_CASE").unwrap_or_default();
    let cases: Vec<_> = all().into_iter().filter(|case| case.to_string().contains(&only)).collect();
    assert!(!cases.is_empty(), "no case is named {only}");
    // What a process opens once and keeps.
    Sources::get();
    one(driver, &Case { call: Call::GetWhole, step: Step::Ok, times: Times::Once }).unwrap();
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
    // Where something is waited for that never comes.
    let silent = case.step == Step::Stall
        || case.step == Step::WrongLength && matches!(case.call, Call::Put | Call::UploadPart);
    let world = World::new(driver);
    let world = if silent { world.with_waits(waits(700)) } else { world };
    script(&world, case);
    let up = matches!(
        case.call,
        Call::Put | Call::Create | Call::UploadPart | Call::Complete | Call::Abort
    );
    let (end, sentence) = if up { upload(&world, case)? } else { download(&world, case)? };
    let due = expected::end(case);
    if end != due {
        return Err(format!("ends in {end:?}, not {due:?}: {sentence}"));
    }
    leaks(&world, case)
}

fn script(world: &World, case: &Case) {
    let key = if case.call == Call::List { "" } else { "target" };
    match case.times {
        Times::Once => world.server.script(case.call, key, [case.step.clone()]),
        Times::Always => world.server.always(case.call, key, case.step.clone()),
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
    let mut due = tree::sha256sums(&Sources::get().path(source)).unwrap();
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
    if to.path().join(".osmo-partial").exists() {
        return Err(format!("{end:?} left the partial folder"));
    }
    Ok((end, sentence))
}

fn without(sums: &str, name: &str) -> String {
    let kept = sums.lines().filter(|line| !line.ends_with(&format!("/{name}")));
    kept.map(|line| format!("{line}\n")).collect()
}

fn upload(world: &World, case: &Case) -> Result<(End, String), String> {
    let source = if case.call == Call::Put { "small" } else { "parted" };
    let (end, sentence) = End::of(&world.upload(source));
    for (name, due) in [("other", true), ("target", end == End::Done)] {
        let stored = world.server.object(&format!("up/{name}"));
        let whole = Sources::get().bytes(&format!("{source}/{name}"));
        match stored {
            Some(stored) if stored != whole => return Err(format!("{name} has wrong bytes")),
            // A PUT whose answer was lost is there, and whole.
            Some(_) => {}
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
