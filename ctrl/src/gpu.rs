//! The GPUs beside the task, looked at while its command runs.
//!
//! ```text
//!  Run begins ─► thread: osmo-nvml, every 10 s ─► Meters: /metrics, the summary
//!  Run ends ─────────────────────────────────────► Meters: no figures any more
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
        meters.saw(&source.snapshot(LIMIT));
        thread::sleep(PERIOD);
    }
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

    /// What was last seen is not what is.
    pub(crate) fn over(&mut self) {
        self.now.clear();
    }

    pub(crate) fn add(&mut self, gpus: &Gpus) {
        self.count = self.count.max(gpus.gpus.len());
        let there = gpus.gpus.iter().filter(|gpu| !gpu.lost);
        self.now = there
            .map(|gpu| GpuNow {
                index: gpu.index,
                memory_used_bytes: gpu.memory.used_bytes,
                memory_total_bytes: gpu.memory.total_bytes,
                utilization: gpu.utilization.gpu_percent.map(|share| f64::from(share) / 100.0),
            })
            .collect();
        let used = self.now.iter().filter_map(|gpu| gpu.memory_used_bytes);
        // Nobody's memory is not none of it.
        let used = used.reduce(|sum, bytes| sum + bytes);
        self.memory_used_bytes_peak = self.memory_used_bytes_peak.max(used);
        for share in self.now.iter().filter_map(|gpu| gpu.utilization) {
            self.shares = (self.shares.0 + share, self.shares.1.saturating_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use osmo_nvml::{Gpu, Gpus, Memory, Utilization};
    use osmo_protocol::events::Phase;

    use crate::meters::Meters;

    fn gpus(used: &[Option<u64>]) -> Gpus {
        let gpu = |(index, used_bytes): (usize, &Option<u64>)| Gpu {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            memory: Memory { used_bytes: *used_bytes, ..Memory::default() },
            utilization: Utilization { gpu_percent: Some(50), ..Utilization::default() },
            ..Gpu::default()
        };
        Gpus { gpus: used.iter().enumerate().map(gpu).collect(), ..Gpus::default() }
    }

    fn shown(meters: &Meters) -> Vec<u32> {
        meters.with_gpus(|seen| seen.now().iter().map(|gpu| gpu.index).collect())
    }

    fn peak(meters: &Meters) -> Option<u64> {
        meters.with_gpus(|seen| seen.summary())?.memory_used_bytes_peak
    }

    #[test]
    fn the_runs_end_clears_at_once_and_nothing_comes_after_it() {
        let meters = Meters::new();
        meters.enter(Phase::Run);
        meters.saw(&gpus(&[Some(100), Some(200)]));
        assert_eq!(shown(&meters), [0, 1]);
        meters.enter(Phase::Upload);
        assert_eq!(shown(&meters), [0; 0]);
        // A reading that was under way.
        meters.saw(&gpus(&[Some(1000)]));
        assert_eq!((shown(&meters), peak(&meters)), (vec![], Some(300)));
    }

    #[test]
    fn a_lost_gpu_is_shown_no_more_and_still_counted() {
        let meters = Meters::new();
        meters.enter(Phase::Run);
        meters.saw(&gpus(&[Some(100), Some(200)]));
        let mut later = gpus(&[Some(100), Some(900)]);
        later.gpus[1].lost = true;
        meters.saw(&later);
        assert_eq!((shown(&meters), peak(&meters)), (vec![0], Some(300)));
        assert_eq!(meters.with_gpus(|seen| seen.summary()).map(|gpu| gpu.gpus), Some(2));
    }

    #[test]
    fn a_gpu_that_tells_no_memory_has_no_peak_and_not_zero() {
        let meters = Meters::new();
        meters.enter(Phase::Run);
        meters.saw(&gpus(&[None]));
        assert_eq!(peak(&meters), None);
        meters.saw(&gpus(&[Some(0)]));
        assert_eq!(peak(&meters), Some(0), "it tells that nothing is used");
    }
}
