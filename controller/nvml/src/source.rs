//! Where snapshots come from: NVML, opened once it is there and never closed, and
//! a thread a GPU.

mod opening;
mod seat;

use std::path::Path;
use std::time::{Duration, Instant};

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use crate::xid::Xids;
use crate::{Driver, Gpus, judge};
use opening::Opening;
use seat::Seat;

/// GPUs that are looked at.
pub const GPUS_MAX: u32 = 64;

/// A source of snapshots.
pub struct Source {
    driver: Option<Driver>,
    /// Empty until the GPUs were counted.
    seats: Option<Vec<Seat>>,
    xids: Xids,
    notes: Vec<String>,
    /// How it is looked for while it is not there.
    opening: Opening,
}

impl Source {
    /// Opens NVML: `library`, or the system's, within `limit`. What is missing
    /// is a note; it is looked for again by later snapshots, which do not wait for
    /// it, since a node's driver may come after its agent. The library is not closed
    /// again: a call that hangs may still be in it.
    pub fn open(library: Option<&Path>, limit: Duration) -> Self {
        let mut source = Self {
            driver: None,
            seats: None,
            xids: Xids::default(),
            notes: Vec::new(),
            opening: Opening::new(library),
        };
        let opened = source.opening.wait(limit);
        source.take(opened);
        source
    }

    fn take(&mut self, opened: Result<Opened, String>) {
        match opened {
            Ok(opened) => {
                self.driver = Some(opened.driver);
                match opened.count {
                    Ok(count) => self.sit(opened.nvml, count),
                    Err(error) => self.notes = vec![format!("cannot count the GPUs: {error}")],
                }
            }
            Err(note) => self.notes = vec![note],
        }
    }

    fn sit(&mut self, nvml: &'static Nvml, count: u32) {
        let seats = count.min(GPUS_MAX);
        let all = format!("{count} GPUs: only the first {GPUS_MAX} are reported");
        self.notes = (count > seats).then_some(all).into_iter().collect();
        self.seats = Some((0..seats).map(|at| Seat::take(nvml, at)).collect());
        self.xids = Xids::listen(nvml, seats);
    }

    /// GPUs that are looked at; 0 where there is no driver.
    pub fn count(&self) -> usize {
        self.seats.as_ref().map_or(0, Vec::len)
    }

    /// Reads every GPU, for `limit` at most.
    pub fn snapshot(&mut self, limit: Duration) -> Gpus {
        if self.seats.is_none()
            && let Some(opened) = self.opening.look()
        {
            self.take(opened);
        }
        let deadline = Instant::now() + limit;
        let seats = self.seats.as_deref_mut().unwrap_or_default();
        seats.iter_mut().for_each(Seat::begin);
        let mut all =
            Gpus { driver: self.driver.clone(), gpus: Vec::new(), notes: self.notes.clone() };
        for seat in seats {
            let mut shown = seat.end(deadline);
            all.notes.append(&mut shown.notes);
            let mut gpu = shown.gpu;
            gpu.xid = self.xids.of(gpu.index);
            let judged = judge(&gpu);
            gpu.health.verdict = gpu.health.verdict.max(judged.verdict);
            gpu.health.reasons.extend(judged.reasons);
            all.gpus.push(gpu);
        }
        all
    }
}

/// `12040` → `12.4`
fn cuda(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

/// NVML with what is asked of it once.
struct Opened {
    nvml: &'static Nvml,
    driver: Driver,
    count: Result<u32, NvmlError>,
}

impl Opened {
    fn of(nvml: &'static Nvml) -> Self {
        let driver = Driver {
            driver_version: nvml.sys_driver_version().ok(),
            nvml_version: nvml.sys_nvml_version().ok(),
            cuda_version: nvml.sys_cuda_driver_version().ok().map(cuda),
        };
        Self { nvml, driver, count: nvml.device_count() }
    }
}
