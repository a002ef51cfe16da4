//! The GPUs' values under the names and units of DCGM's exporter, for
//! dashboards that exist.

use osmo_nvml::{Gpu, Throttle, XID_WINDOW};

use super::gpu::{by_number, links, share};
use super::{Labels, Page, Shape, exact};
use crate::node::report::Report;

fn mib(bytes: Option<u64>) -> Option<f64> {
    bytes.map(|bytes| (bytes >> 20) as f64)
}

fn nanos(seconds: Option<f64>) -> Option<f64> {
    seconds.map(|seconds| (seconds * 1e9).round())
}

/// NVML's mask: the reasons stand in the order of its bits.
fn mask(gpu: &Gpu) -> Option<f64> {
    let active = gpu.throttle_reasons.as_ref()?;
    let bits = Throttle::ALL.iter().enumerate().filter(|(_, reason)| active.contains(reason));
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
    Gauge "DCGM_FI_PROF_GR_ENGINE_ACTIVE" "Graphics engine active (ratio)."
        |g| share(g.activity.graphics_percent);
    Gauge "DCGM_FI_PROF_SM_ACTIVE" "Multiprocessors with work (ratio)."
        |g| share(g.activity.sm_percent);
    Gauge "DCGM_FI_PROF_SM_OCCUPANCY" "Warps resident (ratio)."
        |g| share(g.activity.sm_occupancy_percent);
    Gauge "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE" "Tensor cores active (ratio)."
        |g| share(g.activity.tensor_percent);
    Gauge "DCGM_FI_PROF_PIPE_FP64_ACTIVE" "64-bit arithmetic (ratio)."
        |g| share(g.activity.fp64_percent);
    Gauge "DCGM_FI_PROF_PIPE_FP32_ACTIVE" "32-bit arithmetic (ratio)."
        |g| share(g.activity.fp32_percent);
    Gauge "DCGM_FI_PROF_PIPE_FP16_ACTIVE" "16-bit arithmetic (ratio)."
        |g| share(g.activity.fp16_percent);
    Gauge "DCGM_FI_PROF_DRAM_ACTIVE" "Memory interface active (ratio)."
        |g| share(g.activity.memory_bandwidth_percent);
    Gauge "DCGM_FI_PROF_PCIE_TX_BYTES" "PCIe sent (B/s)."
        |g| g.activity.pcie_transmit_bytes_per_s;
    Gauge "DCGM_FI_PROF_PCIE_RX_BYTES" "PCIe received (B/s)."
        |g| g.activity.pcie_receive_bytes_per_s;
    Gauge "DCGM_FI_PROF_NVLINK_TX_BYTES" "NVLink sent (B/s)."
        |g| g.activity.nvlink_transmit_bytes_per_s;
    Gauge "DCGM_FI_PROF_NVLINK_RX_BYTES" "NVLink received (B/s)."
        |g| g.activity.nvlink_receive_bytes_per_s;
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
    Counter "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL" "Corrected memory errors since boot."
        |g| exact(g.ecc.corrected_volatile);
    Counter "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL" "Uncorrected memory errors since boot."
        |g| exact(g.ecc.uncorrected_volatile);
    Counter "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL" "Corrected memory errors ever."
        |g| exact(g.ecc.corrected_aggregate);
    Counter "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL" "Uncorrected memory errors ever."
        |g| exact(g.ecc.uncorrected_aggregate);
    Counter "DCGM_FI_DEV_POWER_VIOLATION" "Clocks lowered for power (ns)."
        |g| nanos(g.throttle_seconds.power_cap);
    Counter "DCGM_FI_DEV_THERMAL_VIOLATION" "Clocks lowered for heat (ns)."
        |g| nanos(g.throttle_seconds.thermal);
    Counter "DCGM_FI_DEV_SYNC_BOOST_VIOLATION" "Clocks lowered for sync boost (ns)."
        |g| nanos(g.throttle_seconds.sync_boost);
    Counter "DCGM_FI_DEV_BOARD_LIMIT_VIOLATION" "Clocks lowered for the board's limit (ns)."
        |g| nanos(g.throttle_seconds.board_limit);
    Counter "DCGM_FI_DEV_LOW_UTIL_VIOLATION" "Clocks lowered for want of work (ns)."
        |g| nanos(g.throttle_seconds.low_utilization);
    Counter "DCGM_FI_DEV_RELIABILITY_VIOLATION" "Clocks lowered for reliability (ns)."
        |g| nanos(g.throttle_seconds.reliability);
    Counter "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL" "CRC errors of flits."
        |g| links(g, |link| link.crc_errors);
    Counter "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL" "NVLink messages sent again."
        |g| links(g, |link| link.replays);
    Counter "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL" "NVLink recoveries."
        |g| links(g, |link| link.recoveries);
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
