//! The GPUs' values under the names and units of DCGM's exporter, for
//! dashboards that exist.

use osmo_nvml::{Gpu, XID_WINDOW};

use super::gpu::{REASONS, by_number};
use super::{Labels, Page, Shape, exact};
use crate::node::report::Report;

fn mib(bytes: Option<u64>) -> Option<f64> {
    bytes.map(|bytes| (bytes >> 20) as f64)
}

/// NVML's mask: the reasons stand in the order of its bits.
fn mask(gpu: &Gpu) -> Option<f64> {
    let active = gpu.throttle_reasons.as_ref()?;
    let bits = REASONS.iter().enumerate().filter(|(_, (reason, _))| active.contains(reason));
    Some(bits.map(|(at, _)| f64::from(1_u32 << at)).sum())
}

table! { Gpu:
    Gauge "DCGM_FI_DEV_SM_CLOCK" "SM clock (MHz)." |g| g.clocks.sm_mhz.map(f64::from);
    Gauge "DCGM_FI_DEV_MEM_CLOCK" "Memory clock (MHz)." |g| g.clocks.memory_mhz.map(f64::from);
    Gauge "DCGM_FI_DEV_MEMORY_TEMP" "Memory temperature (C)."
        |g| g.temperature.memory_celsius.map(f64::from);
    Gauge "DCGM_FI_DEV_GPU_TEMP" "GPU temperature (C)."
        |g| g.temperature.gpu_celsius.map(f64::from);
    Gauge "DCGM_FI_DEV_POWER_USAGE" "Power draw (W)." |g| g.power.draw_watts;
    Counter "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION" "Energy since the driver was loaded (mJ)."
        |g| g.power.energy_joules.map(|joules| joules * 1000.0);
    Counter "DCGM_FI_DEV_PCIE_REPLAY_COUNTER" "PCIe retries." |g| exact(g.pcie.replays);
    Gauge "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS" "Why clocks are lowered (bit mask)." mask;
    Gauge "DCGM_FI_DEV_GPU_UTIL" "GPU utilization (%)."
        |g| g.utilization.gpu_percent.map(f64::from);
    Gauge "DCGM_FI_DEV_MEM_COPY_UTIL" "Memory utilization (%)."
        |g| g.utilization.memory_percent.map(f64::from);
    Gauge "DCGM_FI_DEV_ENC_UTIL" "Encoder utilization (%)."
        |g| g.utilization.encoder_percent.map(f64::from);
    Gauge "DCGM_FI_DEV_DEC_UTIL" "Decoder utilization (%)."
        |g| g.utilization.decoder_percent.map(f64::from);
    Gauge "DCGM_FI_DEV_XID_ERRORS" "The last XID."
        |g| g.xid.listening.then(|| exact(g.xid.last).unwrap_or(0.0));
    Gauge "DCGM_FI_DEV_FB_FREE" "Frame buffer free (MiB)." |g| mib(g.memory.free_bytes);
    Gauge "DCGM_FI_DEV_FB_USED" "Frame buffer used (MiB)." |g| mib(g.memory.used_bytes);
    Gauge "DCGM_FI_DEV_FB_RESERVED" "Frame buffer reserved (MiB)."
        |g| mib(g.memory.reserved_bytes);
    Counter "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS" "Rows remapped, uncorrectable."
        |g| exact(g.remapped_rows.uncorrectable);
    Counter "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS" "Rows remapped, correctable."
        |g| exact(g.remapped_rows.correctable);
    Gauge "DCGM_FI_DEV_ROW_REMAP_FAILURE" "A remapping failed."
        |g| g.remapped_rows.failure.map(f64::from);
}

/// Eight digits of domain, in capitals: `00000000:3A:00.0`.
fn nvml_bus_id(bus_id: &str) -> String {
    match bus_id.split_once(':') {
        Some((domain, rest)) => format!("{domain:0>8}:{rest}").to_ascii_uppercase(),
        None => bus_id.to_owned(),
    }
}

pub(super) fn write(page: &mut Page, report: &Report) {
    let version = report.gpu.driver.as_ref().and_then(|driver| driver.driver_version.clone());
    let version = version.unwrap_or_default();
    let labels = |gpu: &Gpu| {
        let or_empty = |value: &Option<String>| value.clone().unwrap_or_default();
        let number = gpu.index.to_string();
        Labels::of(&[
            ("gpu", &number),
            ("UUID", &or_empty(&gpu.identity.uuid)),
            ("pci_bus_id", &nvml_bus_id(&or_empty(&gpu.identity.pci_bus_id))),
            ("device", &format!("nvidia{number}")),
            ("modelName", &or_empty(&gpu.identity.name)),
            ("Hostname", &report.hostname),
            ("DCGM_FI_DRIVER_VERSION", &version),
        ])
    };
    for metric in TABLE {
        let of = |gpu: &Gpu| Some((labels(gpu), (metric.of)(gpu)?));
        let samples = report.gpu.gpus.iter().filter_map(of);
        page.family((metric.name, metric.shape, metric.help), samples);
    }
    let window = XID_WINDOW.as_millis().to_string();
    let xids = report.gpu.gpus.iter().filter(|gpu| gpu.xid.listening).flat_map(|gpu| {
        let labels = labels(gpu).with("window_size_in_ms", &window);
        let counts = &gpu.xid.counts_5min;
        // As the exporter has it: without an error there is no number.
        let none = counts.is_empty().then(|| (labels.clone(), 0.0));
        none.into_iter().chain(by_number(&labels, counts))
    });
    let help = "XID errors of the last five minutes.";
    page.family(("DCGM_EXP_XID_ERRORS_COUNT", Shape::Gauge, help), xids);
}
