//! The performance monitor (GPM): what happened between two samples, of which the
//! earlier one is the last reading's.

use std::collections::BTreeMap;

use nvml_wrapper::Device;
use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::gpm::{GpmSample, gpm_metrics_get};

use super::Asker;
use crate::Activity;

const MIB: f64 = 1_048_576.0;

/// What is asked, in the order in which [`activity`] reads it.
const METRICS: [GpmMetricId; 12] = [
    GpmMetricId::GraphicsUtil,
    GpmMetricId::SmUtil,
    GpmMetricId::SmOccupancy,
    GpmMetricId::AnyTensorUtil,
    GpmMetricId::Fp64Util,
    GpmMetricId::Fp32Util,
    GpmMetricId::Fp16Util,
    GpmMetricId::DramBwUtil,
    GpmMetricId::PcieTxPerSec,
    GpmMetricId::PcieRxPerSec,
    GpmMetricId::NvlinkTotalTxPerSec,
    GpmMetricId::NvlinkTotalRxPerSec,
];

/// The last samples: of the GPU (`None`) and of its instances, by number.
pub(crate) type Samples<'nvml> = BTreeMap<Option<u32>, GpmSample<'nvml>>;

impl<'nvml> Asker<'_, 'nvml> {
    /// Takes a sample of the GPU, or of an instance of it. Nothing where there is no
    /// monitor, or no earlier sample.
    pub(super) fn activity(&mut self, instance: Option<u32>) -> Activity {
        let last = self.samples.remove(&instance);
        let Some(sample) = self.sample(instance) else { return Activity::default() };
        let told = last.and_then(|last| {
            self.ask("activity", |device| gpm_metrics_get(device.nvml(), &last, &sample, &METRICS))
        });
        self.samples.insert(instance, sample);
        told.map_or_else(Activity::default, |told| {
            activity(&told.into_iter().map(|one| Some(one.ok()?.value)).collect::<Vec<_>>())
        })
    }

    fn sample(&mut self, instance: Option<u32>) -> Option<GpmSample<'nvml>> {
        let device = self.device;
        self.ask("activity", |_| is_monitored(device))?.then_some(())?;
        self.ask("activity", |_| match instance {
            Some(number) => device.gpm_mig_sample(number),
            // A partitioned GPU may have none of the whole.
            None => match device.gpm_sample() {
                Err(NvmlError::GpuLost) => Err(NvmlError::GpuLost),
                sample => sample.map_err(|_| NvmlError::NotSupported),
            },
        })
    }
}

/// A sample that cannot be freed is not taken: its drop would panic.
fn is_monitored(device: &Device) -> Result<bool, NvmlError> {
    let frees = device.nvml().lib().nvmlGpmSampleFree.is_ok();
    if frees { device.gpm_support() } else { Ok(false) }
}

fn activity(told: &[Option<f64>]) -> Activity {
    let value = |at: usize| told.get(at).copied().flatten().filter(|value| value.is_finite());
    let bytes = |at: usize| value(at).map(|mib| mib * MIB);
    Activity {
        graphics_percent: value(0),
        sm_percent: value(1),
        sm_occupancy_percent: value(2),
        tensor_percent: value(3),
        fp64_percent: value(4),
        fp32_percent: value(5),
        fp16_percent: value(6),
        memory_bandwidth_percent: value(7),
        pcie_transmit_bytes_per_s: bytes(8),
        pcie_receive_bytes_per_s: bytes(9),
        nvlink_transmit_bytes_per_s: bytes(10),
        nvlink_receive_bytes_per_s: bytes(11),
    }
}
