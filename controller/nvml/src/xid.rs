//! Errors that the driver tells, counted as they come.

mod window;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nvml_wrapper::Nvml;
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::event::EventSet;

use crate::{XIDS_MAX, Xid, raw};
use window::Window;

/// How long one wait takes; nothing depends on it.
const WAIT_MS: u32 = 5_000;
/// The pause after a wait that was refused.
const PAUSE: Duration = Duration::from_secs(5);
/// Errors in a row after which there is a pause of [`BREATH`]: a storm shall
/// not keep a core.
const ROW: u32 = 1_000;
const BREATH: Duration = Duration::from_millis(100);
/// What the driver calls an error that it cannot number.
const UNKNOWN: u64 = 999;

/// What one GPU has told.
#[derive(Clone, Debug, Default)]
struct Told {
    ever: Xid,
    lately: Window,
}

/// Counts by GPU.
#[derive(Clone, Debug, Default)]
pub(crate) struct Xids(Arc<Mutex<BTreeMap<u32, Told>>>);

impl Xids {
    /// Listens for the rest of the process's life; GPUs that tell nothing stay
    /// `listening: false`.
    pub(crate) fn listen(nvml: &'static Nvml, gpus: u32) -> Self {
        let xids = Self::default();
        let ours = xids.clone();
        // Without a thread there are no counts, and the report says so.
        let _ = thread::Builder::new().name("xid".into()).spawn(move || ours.run(nvml, gpus));
        xids
    }

    /// What `gpu` has told.
    pub(crate) fn of(&self, gpu: u32) -> Xid {
        let now = Instant::now();
        self.with(|told| {
            let Some(told) = told.get_mut(&gpu) else { return Xid::default() };
            Xid { counts_5min: told.lately.counts(now), ..told.ever.clone() }
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<u32, Told>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn run(&self, nvml: &'static Nvml, gpus: u32) {
        let able = |index: &u32| {
            let types = nvml.device_by_index(*index).and_then(|gpu| gpu.supported_event_types());
            types.is_ok_and(|types| types.contains(EventTypes::CRITICAL_XID_ERROR))
        };
        let Some((set, listening)) = registered(nvml, (0..gpus).filter(able).collect()) else {
            return;
        };
        for index in listening.values() {
            self.with(|told| told.entry(*index).or_default().ever.listening = true);
        }
        let mut row = 0;
        loop {
            match set.wait(WAIT_MS) {
                Ok(event) => {
                    row += 1;
                    if row % ROW == 0 {
                        thread::sleep(BREATH);
                    }
                    let number = match event.event_data {
                        Some(XidError::Value(number)) => number,
                        Some(XidError::Unknown) => UNKNOWN,
                        None => continue,
                    };
                    // A GPU that fell off the bus does not tell its index.
                    match listening.get(&raw::address(&event.device)) {
                        Some(index) => self.count(*index, number),
                        // Nobody knows whose it is, so anybody's it may be.
                        None => listening.values().for_each(|index| self.count(*index, number)),
                    }
                }
                Err(NvmlError::Timeout) => {}
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    fn count(&self, gpu: u32, number: u64) {
        self.with(|told| {
            let told = told.entry(gpu).or_default();
            told.lately.count(number, Instant::now());
            let xid = &mut told.ever;
            xid.last = Some(number);
            if xid.counts.len() < XIDS_MAX || xid.counts.contains_key(&number) {
                *xid.counts.entry(number).or_default() += 1;
            } else {
                xid.others += 1;
            }
        });
    }
}

/// Indices by their handles' addresses.
type Listening = BTreeMap<usize, u32>;

/// A set that hears `gpus`, less those that refuse: a refusal costs the set.
fn registered(nvml: &'static Nvml, mut gpus: Vec<u32>) -> Option<(EventSet<'static>, Listening)> {
    'anew: while !gpus.is_empty() {
        let mut set = nvml.create_event_set().ok()?;
        let mut listening = Listening::new();
        for (at, index) in gpus.iter().enumerate() {
            let hears = nvml.device_by_index(*index).map(|gpu| {
                listening.insert(raw::address(&gpu), *index);
                gpu.register_events(EventTypes::CRITICAL_XID_ERROR, set)
            });
            match hears {
                Ok(Ok(back)) => set = back,
                _ => {
                    gpus.remove(at);
                    continue 'anew;
                }
            }
        }
        return Some((set, listening));
    }
    None
}
