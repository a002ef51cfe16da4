//! Where snapshots come from: NVML, opened once and never closed, and a thread
//! a GPU.

mod seat;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use crate::xid::Xids;
use crate::{Driver, Gpus, judge};
use seat::Seat;

/// GPUs that are looked at.
pub const GPUS_MAX: u32 = 64;

/// A source of snapshots.
pub struct Source {
    driver: Option<Driver>,
    seats: Vec<Seat>,
    xids: Xids,
    notes: Vec<String>,
}

impl Source {
    /// Opens NVML: `library`, or the system's, within `limit`. What is missing
    /// is a note. The library is not closed again, since a call that hangs may
    /// still be in it.
    pub fn open(library: Option<&Path>, limit: Duration) -> Self {
        match opened(library.map(Path::to_path_buf), limit) {
            Ok(opened) => Self {
                seats: (0..opened.count).map(|index| Seat::take(opened.nvml, index)).collect(),
                xids: Xids::listen(opened.nvml, opened.count),
                driver: Some(opened.driver),
                notes: opened.notes,
            },
            Err(note) => {
                Self { driver: None, seats: Vec::new(), xids: Xids::default(), notes: vec![note] }
            }
        }
    }

    /// GPUs that are looked at; 0 where there is no driver.
    pub fn count(&self) -> usize {
        self.seats.len()
    }

    /// Reads every GPU, for `limit` at most.
    pub fn snapshot(&mut self, limit: Duration) -> Gpus {
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

/// NVML within `limit`; the error says why there are no GPUs.
fn opened(library: Option<PathBuf>, limit: Duration) -> Result<Opened, String> {
    let name = library.as_ref().map_or("NVML".to_owned(), |path| path.display().to_string());
    let (tell, told) = mpsc::channel();
    let open = move || {
        let mut builder = Nvml::builder();
        if let Some(path) = &library {
            builder.lib_path(path.as_os_str());
        }
        // Leaked: see `Source::open`. So its drop, which panics in a library
        // without `nvmlShutdown`, never runs.
        let nvml = builder.init().map(|nvml| &*Box::leak(Box::new(nvml)));
        // Asked here too, since any call may hang.
        let _ = tell.send(nvml.map(Opened::of));
    };
    if let Err(error) = thread::Builder::new().name("nvml-open".into()).spawn(open) {
        return Err(format!("cannot start a thread for {name}: {error}"));
    }
    match told.recv_timeout(limit) {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(NvmlError::LibloadingError(error))) => {
            Err(format!("no GPUs: {name} is not here ({error})"))
        }
        Ok(Err(error)) => Err(format!("no GPUs: {name} does not start: {error}")),
        Err(_) => Err(format!("no GPUs: {name} did not start within {} s", limit.as_secs())),
    }
}
