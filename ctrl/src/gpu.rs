//! The GPUs beside the task, looked at while its command runs.
//!
//! ```text
//!  Run begins ─► thread: osmo-nvml, every 10 s ─► Meters: /metrics, the summary
//! ```
//!
//! Nothing is configured and nothing is said where there is no GPU: the library
//! is looked for once, and the thread ends. A driver that hangs keeps this
//! thread (and osmo-nvml's), never the task. The service is told nothing: its
//! metrics have no place for it.

use std::thread;
use std::time::Duration;

use osmo_nvml::{Gpus, Source};
use osmo_protocol::events::{GpuSummary, Phase};

use crate::meters::Meters;

const PERIOD: Duration = Duration::from_secs(10);
/// How long the driver may take to start, and for one reading.
const LIMIT: Duration = Duration::from_secs(5);

/// One GPU now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GpuNow {
    pub(crate) index: u32,
    pub(crate) memory_used_bytes: Option<u64>,
    pub(crate) memory_total_bytes: Option<u64>,
    /// 0 to 1.
    pub(crate) utilization: Option<f64>,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct GpuUse {
    now: Vec<GpuNow>,
    /// How many there were at most.
    count: usize,
    memory_used_bytes_peak: Option<u64>,
    /// Shares that were read, of all GPUs, and how many.
    shares: (f64, u32),
}

/// Looks from now on until the command has ended.
pub(crate) fn watch(meters: &Meters) {
    let meters = meters.clone();
    // Without a thread there are no numbers, which nothing depends on.
    let _ = thread::Builder::new().name("gpus".into()).spawn(move || look(&meters));
}

fn look(meters: &Meters) {
    let mut source = Source::open(None, LIMIT);
    while source.count() > 0 && meters.phase() == Phase::Run {
        let gpus = source.snapshot(LIMIT);
        meters.with_gpus(|seen| seen.add(&gpus));
        thread::sleep(PERIOD);
    }
    // What was last seen is not what is.
    meters.with_gpus(GpuUse::over);
}

impl GpuUse {
    pub(crate) fn now(&self) -> &[GpuNow] {
        &self.now
    }

    /// Nothing where there was no GPU.
    pub(crate) fn summary(&self) -> Option<GpuSummary> {
        let (sum, count) = self.shares;
        (self.count > 0).then(|| GpuSummary {
            gpus: self.count,
            memory_used_bytes_peak: self.memory_used_bytes_peak,
            utilization_mean: (count > 0).then(|| sum / f64::from(count)),
        })
    }

    fn over(&mut self) {
        self.now.clear();
    }

    fn add(&mut self, gpus: &Gpus) {
        self.now = gpus
            .gpus
            .iter()
            .map(|gpu| GpuNow {
                index: gpu.index,
                memory_used_bytes: gpu.memory.used_bytes,
                memory_total_bytes: gpu.memory.total_bytes,
                utilization: gpu.utilization.gpu_percent.map(|share| f64::from(share) / 100.0),
            })
            .collect();
        self.count = self.count.max(self.now.len());
        let used = self.now.iter().filter_map(|gpu| gpu.memory_used_bytes);
        // Nobody's memory is not none of it.
        let used = used.reduce(|sum, bytes| sum + bytes);
        self.memory_used_bytes_peak = self.memory_used_bytes_peak.max(used);
        for share in self.now.iter().filter_map(|gpu| gpu.utilization) {
            self.shares = (self.shares.0 + share, self.shares.1.saturating_add(1));
        }
    }
}
