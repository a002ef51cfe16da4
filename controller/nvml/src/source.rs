//! Where snapshots come from: NVML, opened once it is there and never closed, and
//! a thread a GPU.

mod opening;
mod seat;

use std::path::Path;
use std::time::{Duration, Instant};

use nvml_wrapper::Nvml;

use crate::xid::Xids;
use crate::{Driver, Gpus, judge};
use opening::Opening;
use seat::Seat;

/// GPUs that are looked at.
pub const GPUS_MAX: u32 = 64;

/// A source of snapshots.
pub struct Source {
    driver: Option<Driver>,
    seats: Vec<Seat>,
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
            seats: Vec::new(),
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
                self.seats = (0..opened.count).map(|at| Seat::take(opened.nvml, at)).collect();
                self.xids = Xids::listen(opened.nvml, opened.count);
                (self.driver, self.notes) = (Some(opened.driver), opened.notes);
            }
            Err(note) => self.notes = vec![note],
        }
    }

    /// GPUs that are looked at; 0 where there is no driver.
    pub fn count(&self) -> usize {
        self.seats.len()
    }

    /// Reads every GPU, for `limit` at most.
    pub fn snapshot(&mut self, limit: Duration) -> Gpus {
        if self.driver.is_none()
            && let Some(opened) = self.opening.look()
        {
            self.take(opened);
        }
        let deadline = Instant::now() + limit;
        self.seats.iter_mut().for_each(Seat::begin);
        let mut all =
            Gpus { driver: self.driver.clone(), gpus: Vec::new(), notes: self.notes.clone() };
        for seat in &mut self.seats {
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
    count: u32,
    notes: Vec<String>,
}

impl Opened {
    fn of(nvml: &'static Nvml) -> Self {
        let mut notes = Vec::new();
        let driver = Driver {
            driver_version: nvml.sys_driver_version().ok(),
            nvml_version: nvml.sys_nvml_version().ok(),
            cuda_version: nvml.sys_cuda_driver_version().ok().map(cuda),
        };
        let count = nvml.device_count().unwrap_or_else(|error| {
            notes.push(format!("cannot count the GPUs: {error}"));
            0
        });
        if count > GPUS_MAX {
            notes.push(format!("{count} GPUs: only the first {GPUS_MAX} are reported"));
        }
        Self { nvml, driver, count: count.min(GPUS_MAX), notes }
    }
}
