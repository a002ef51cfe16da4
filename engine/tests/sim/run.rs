//! One seed: a scene, a few lives in it that end well or badly, and a last one
//! in which nothing goes wrong. What has to hold is looked at all along.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use osmo_engine::access::Addressing;
use osmo_engine::clock::Chance;
use osmo_engine::job::{Journaling, OnChange};
use osmo_engine::s3::{Contact, CredentialsSnapshot, Endpoint, Opened};
use osmo_engine::sim::{self, Mutant};
use osmo_engine::{DownloadJob, ErrorKind, Job, Report, Result};

use crate::control::Desk;
use crate::disk::{self, visible};
use crate::faults::Fault;
use crate::life::{Early, EarlyEnd, Faults};
use crate::store::{Declares, Stored};
use crate::world::Simulation;

/// Longer than any run that goes on: whoever waits so long waits for ever.
const FOR_EVER: Duration = Duration::from_secs(6 * 3600);
/// As slow as a store may be that nobody gives up.
const SLOW: u64 = 300;
const LIVES_MAX: u64 = 4;
/// A life that ends early does so within one of these numbers of steps.
const STEPS_MAX: [u64; 3] = [200, 1500, 5000];

/// What a seed came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) trace: u64,
    pub(crate) crashes: u32,
    pub(crate) broken_rules: Vec<String>,
}

/// What is where, and what the job is told.
struct Scene {
    store: Vec<Stored>,
    part_bytes: u64,
    memory_bytes: usize,
    /// How many times longer everything takes at the store.
    slowness: u64,
    journal: Journaling,
    on_change: OnChange,
}

impl Scene {
    fn of(chance: &mut Chance) -> Self {
        let part_bytes = [64 << 10, 100_000, 256 << 10][below(chance, 3)];
        let store = (0..1 + below(chance, 6)).map(|number| object(number, part_bytes, chance));
        Self {
            store: store.collect(),
            part_bytes,
            memory_bytes: [1_200_000, 2 << 20, 4 << 20][below(chance, 3)],
            slowness: [1, 1, 10, 100, SLOW][below(chance, 5)],
            journal: if below(chance, 5) > 0 { Journaling::Kept } else { Journaling::Without },
            on_change: if below(chance, 2) > 0 { OnChange::Error } else { OnChange::Restart },
        }
    }
}

fn below(chance: &mut Chance, limit: u64) -> usize {
    usize::try_from(chance.up_to(limit - 1)).unwrap_or_default()
}

fn object(number: usize, part_bytes: u64, chance: &mut Chance) -> Stored {
    let folder = ["", "a/", "a/b/", "c/"][below(chance, 4)];
    let parts = chance.up_to(6) * part_bytes;
    let bytes = match below(chance, 6) {
        0 => chance.up_to(1),
        1 => part_bytes,
        2 => part_bytes + 1,
        3 => chance.up_to(part_bytes),
        _ => parts + chance.up_to(part_bytes),
    };
    let of_parts = Declares::OfParts(20_000 + below(chance, 150_000));
    let all = [Declares::Crc64, Declares::Crc32c, of_parts, Declares::Md5, Declares::Nothing];
    let declares = all[below(chance, 5)];
    let bytes = usize::try_from(bytes).unwrap_or_default();
    Stored::new(format!("in/{folder}object-{number}"), declares, bytes, chance)
}

/// Which faults there are in a life, and how often.
fn faults(chance: &mut Chance) -> Faults {
    let mut some = Vec::new();
    for fault in Fault::ALL {
        if chance.up_to(2) == 0 {
            some.push((fault, 4 << chance.up_to(5)));
        }
    }
    some
}

enum End {
    Died,
    Hung,
    Panicked(String),
    Ended(Result<Report>, usize),
}

/// Runs everything that `seed` says.
pub(crate) fn seed(seed: u64, mutant: Option<Mutant>) -> Outcome {
    let folder = disk::folder();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).expect("make the destination");
    let mut chance = Chance::from_seed(seed);
    let Scene { mut store, part_bytes, memory_bytes, slowness, journal, on_change } =
        Scene::of(&mut chance);
    store.sort_by(|a, b| a.key.cmp(&b.key));
    let world = Simulation::new(seed, (store, part_bytes, slowness), &root, mutant);
    let job = DownloadJob {
        remote: "s3://bucket/in".into(),
        local: root.clone(),
        journal,
        on_change,
        ..DownloadJob::default()
    };
    let (mut crashes, is_long) = (0, slowness == SLOW);
    for _ in 0..chance.up_to(LIVES_MAX) {
        // Only lives that outlast a commit show what it is worth.
        let early = match chance.up_to(5) {
            _ if is_long && chance.up_to(3) > 0 => Some(EarlyEnd::PowerLoss),
            0 | 1 => Some(EarlyEnd::Killed),
            2 | 3 => Some(EarlyEnd::PowerLoss),
            4 => Some(EarlyEnd::Cancelled),
            _ => None,
        };
        let steps_max = STEPS_MAX[below(&mut chance, 3)];
        let early = early.map(|end| (end, 1 + chance.up_to(steps_max)));
        let faults = if !is_long && chance.up_to(3) > 0 { faults(&mut chance) } else { Vec::new() };
        let end = life(&world, &job, memory_bytes, (faults, early));
        world.note("steps", world.steps());
        match end {
            End::Died => {
                crashes += 1;
                after_death(&world, early);
            }
            end => judge(&world, end),
        }
        if !world.broken_rules.borrow().is_empty() {
            break;
        }
    }
    if world.broken_rules.borrow().is_empty() {
        let end = life(&world, &job, memory_bytes, (Vec::new(), None));
        judge_last(&world, end);
    }
    let broken_rules = world.broken_rules.take();
    Outcome { trace: world.trace(), crashes, broken_rules }
}

/// One process, from its start to its end.
fn life(
    world: &Rc<Simulation>,
    job: &DownloadJob,
    memory_bytes: usize,
    (faults, early): (Faults, Early),
) -> End {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let lived = catch_unwind(AssertUnwindSafe(|| {
        local.block_on(&runtime, async {
            world.begins(faults, early);
            let _stay = sim::enter(Rc::clone(world) as Rc<dyn sim::World>);
            let job = Job::Download(job.clone());
            let run = osmo_engine::engine::simulated(job, opened(world), memory_bytes);
            let (cancel, run) = run.expect("a shard");
            world.cancels_with(cancel);
            let end = tokio::select! {
                biased;
                () = world.death() => End::Died,
                ended = tokio::time::timeout(FOR_EVER, run) => match ended {
                    Ok((ended, left)) => End::Ended(ended, left),
                    Err(_) => End::Hung,
                },
            };
            world.ends();
            if world.death.borrow().is_some() { End::Died } else { end }
        })
    }));
    lived.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        End::Panicked(
            said.or(panic.downcast_ref::<&str>().map(|s| (*s).into())).unwrap_or_default(),
        )
    })
}

fn opened(world: &Rc<Simulation>) -> Opened {
    let endpoint = Endpoint::new("http://10.1.2.3:9000", "us-east-1", Addressing::Path);
    let credentials = CredentialsSnapshot::drawn(world.keys());
    let contact = Contact::new(Arc::new(endpoint.expect("an endpoint")), credentials);
    Opened { contact, control: Rc::new(Desk(Rc::clone(world))) }
}

/// The tree as the dead left it.
fn after_death(world: &Simulation, early: Early) {
    let death = world.death.take().expect("whoever died left a tree");
    death.leave().expect("put the tree back");
    if matches!(early, Some((EarlyEnd::PowerLoss, _))) {
        let (durable, renamed) = (world.durable.borrow().clone(), world.renamed.take());
        let lost = disk::lose_power(&world.root, &durable, &renamed, &|limit| world.below(limit));
        lost.expect("lose what was not durable");
        // What was not durable may be anything under its name.
        world.boots.set(world.boots.get() + 1);
        let damaged = visible(&world.root).expect("read the tree");
        world.doubted.borrow_mut().extend(damaged.into_keys());
        *world.durable.borrow_mut() = disk::Image::of(&world.root).expect("read the tree");
    }
    world.look("after a crash");
}

/// What holds at the end of every life that ended by itself.
fn judge(world: &Simulation, end: End) {
    world.look("at the end");
    let (ended, left) = match end {
        End::Ended(ended, left) => (ended, left),
        End::Hung => return world.breaks("nothing happens any more: a wake was lost".into()),
        End::Panicked(said) => return world.breaks(format!("a panic: {said}")),
        End::Died => return,
    };
    if left > 0 {
        world.breaks(format!("{left} buffers were not returned"));
    }
    let open = world.left_open();
    if open > 0 {
        world.breaks(format!("{open} connections were not closed"));
    }
    let fair: BTreeSet<_> =
        world.faults.borrow().iter().map(|(fault, _)| name(fault.kind())).collect();
    let kinds: Vec<(ErrorKind, String)> = match &ended {
        Err(error) => vec![(error.kind(), error.to_string())],
        Ok(report) => report.failures.iter().map(|f| (f.kind, f.reason.clone())).collect(),
    };
    for (kind, said) in kinds {
        world.note(&name(kind), 0);
        let was_asked = kind == ErrorKind::Cancelled && world.is_cancelled.get();
        if !was_asked && !fair.contains(&name(kind)) {
            world.breaks(format!("{kind:?} without a cause: {said}"));
        }
    }
    if let Ok(report) = &ended
        && report.failures_total == 0
    {
        let (there, wanted) =
            (visible(&world.root).expect("read").len(), world.store.borrow().len());
        if there != wanted {
            world.breaks(format!("success with {there} files of {wanted}"));
        }
    }
}

/// What holds after a life in which nothing goes wrong: the tree is the store.
fn judge_last(world: &Simulation, end: End) {
    match &end {
        End::Ended(Err(error), _) => world.breaks(format!("it fails without a fault: {error}")),
        End::Ended(Ok(report), _) if report.failures_total > 0 => {
            world.breaks(format!("files fail without a fault: {:?}", report.failures));
        }
        _ => {}
    }
    judge(world, end);
    let there = visible(&world.root).expect("read the tree");
    for stored in &*world.store.borrow() {
        let path = stored.key.strip_prefix("in/").unwrap_or(&stored.key);
        let is_there = there.get(std::path::Path::new(path));
        if is_there.map(Vec::as_slice) != Some(&*stored.now().bytes) {
            world.breaks(format!("{path} is not what the store has"));
        }
    }
    if let Ok(left) = std::fs::read_dir(world.root.join(".osmo-partial")) {
        let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
        world.breaks(format!("unfinished files are left: {left:?}"));
    }
}

fn name(kind: ErrorKind) -> String {
    format!("{kind:?}")
}
