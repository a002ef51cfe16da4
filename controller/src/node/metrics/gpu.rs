//! The GPUs' metrics under our names.

use std::collections::BTreeMap;

use osmo_nvml::{Gpu, Throttle, Verdict};

use super::{Labels, Page, Shape, exact};
use crate::node::report::Report;

fn ratio(percent: Option<u32>) -> Option<f64> {
    percent.map(|percent| f64::from(percent) / 100.0)
}

fn hertz(mhz: Option<u32>) -> Option<f64> {
    mhz.map(|mhz| f64::from(mhz) * 1e6)
}

table! { Gpu:
    Gauge "osmo_gpu_memory_total_bytes" "Memory of the GPU." |g| exact(g.memory.total_bytes);
    Gauge "osmo_gpu_memory_used_bytes" "Memory in use." |g| exact(g.memory.used_bytes);
    Gauge "osmo_gpu_memory_free_bytes" "Memory free." |g| exact(g.memory.free_bytes);
    Gauge "osmo_gpu_memory_reserved_bytes" "Memory that the driver keeps."
        |g| exact(g.memory.reserved_bytes);
    Gauge "osmo_gpu_bar1_used_bytes" "Mapped part of the host's window."
        |g| exact(g.memory.bar1_used_bytes);
    Gauge "osmo_gpu_utilization_ratio" "Share of time in which a kernel ran."
        |g| ratio(g.utilization.gpu_percent);
    Gauge "osmo_gpu_memory_utilization_ratio" "Share of time in which memory was accessed."
        |g| ratio(g.utilization.memory_percent);
    Gauge "osmo_gpu_encoder_utilization_ratio" "Share of time in which the encoder worked."
        |g| ratio(g.utilization.encoder_percent);
    Gauge "osmo_gpu_decoder_utilization_ratio" "Share of time in which the decoder worked."
        |g| ratio(g.utilization.decoder_percent);
    Gauge "osmo_gpu_sm_clock_hertz" "Clock of the multiprocessors." |g| hertz(g.clocks.sm_mhz);
    Gauge "osmo_gpu_memory_clock_hertz" "Clock of the memory." |g| hertz(g.clocks.memory_mhz);
    Gauge "osmo_gpu_power_watts" "Power drawn." |g| g.power.draw_watts;
    Gauge "osmo_gpu_power_limit_watts" "Power limit enforced." |g| g.power.limit_watts;
    Counter "osmo_gpu_energy_joules_total" "Energy since the driver was loaded."
        |g| g.power.energy_joules;
    Gauge "osmo_gpu_temperature_celsius" "Temperature of the die."
        |g| g.temperature.gpu_celsius.map(f64::from);
    Gauge "osmo_gpu_memory_temperature_celsius" "Temperature of HBM."
        |g| g.temperature.memory_celsius.map(f64::from);
    Gauge "osmo_gpu_ecc_enabled" "1 where ECC is on." |g| g.ecc.enabled.map(f64::from);
    Counter "osmo_gpu_ecc_corrected_total" "Corrected memory errors since boot."
        |g| exact(g.ecc.corrected_volatile);
    Counter "osmo_gpu_ecc_uncorrected_total" "Uncorrected memory errors since boot."
        |g| exact(g.ecc.uncorrected_volatile);
    Counter "osmo_gpu_remapped_rows_correctable_total" "Rows remapped after corrected errors."
        |g| exact(g.remapped_rows.correctable);
    Counter "osmo_gpu_remapped_rows_uncorrectable_total" "Rows remapped after uncorrected errors."
        |g| exact(g.remapped_rows.uncorrectable);
    Gauge "osmo_gpu_remapped_rows_pending" "1 while rows wait for a reset."
        |g| g.remapped_rows.pending.map(f64::from);
    Gauge "osmo_gpu_remapped_rows_failure" "1 once a row could not be remapped."
        |g| g.remapped_rows.failure.map(f64::from);
    Gauge "osmo_gpu_pcie_link_generation" "Generation of the PCIe link now."
        |g| g.pcie.generation.map(f64::from);
    Gauge "osmo_gpu_pcie_link_width" "Lanes of the PCIe link now."
        |g| g.pcie.width.map(f64::from);
    Gauge "osmo_gpu_pcie_transmit_bytes_per_second" "From the GPU to the host."
        |g| exact(g.pcie.transmit_bytes_per_s);
    Gauge "osmo_gpu_pcie_receive_bytes_per_second" "From the host to the GPU."
        |g| exact(g.pcie.receive_bytes_per_s);
    Counter "osmo_gpu_pcie_replays_total" "PCIe packets sent again." |g| exact(g.pcie.replays);
    Counter "osmo_gpu_nvlink_transmit_bytes_total" "Data sent over all NVLinks."
        |g| exact(g.nvlink_traffic.transmit_bytes_total);
    Counter "osmo_gpu_nvlink_receive_bytes_total" "Data received over all NVLinks."
        |g| exact(g.nvlink_traffic.receive_bytes_total);
    Gauge "osmo_gpu_nvlinks_active" "NVLinks that are up."
        |g| (!g.nvlinks.is_empty()).then(|| g.nvlinks.iter().filter(|l| l.active).count() as f64);
    Gauge "osmo_gpu_processes" "Processes that use the GPU."
        |g| Some(g.processes.as_ref()?.len() as f64);
    Counter "osmo_gpu_xids_total" "XID errors of all numbers since this program began to listen."
        |g| g.xid.listening.then(|| (g.xid.counts.values().sum::<u64>() + g.xid.others) as f64);
    Gauge "osmo_gpu_healthy" "1 unless the GPU should not be scheduled on."
        |g| Some(f64::from(g.health.verdict < Verdict::Bad));
}

pub(super) const REASONS: [(Throttle, &str); 11] = [
    (Throttle::Idle, "idle"),
    (Throttle::ApplicationClocks, "application_clocks"),
    (Throttle::PowerCap, "power_cap"),
    (Throttle::HardwareSlowdown, "hardware_slowdown"),
    (Throttle::SyncBoost, "sync_boost"),
    (Throttle::SoftwareThermal, "software_thermal"),
    (Throttle::HardwareThermal, "hardware_thermal"),
    (Throttle::PowerBrake, "power_brake"),
    (Throttle::Display, "display"),
    (Throttle::BoardLimit, "board_limit"),
    (Throttle::Reliability, "reliability"),
];

pub(super) fn write(page: &mut Page, report: &Report) {
    let gpus: Vec<(Labels, &Gpu)> = report.gpu.gpus.iter().map(|gpu| (labels(gpu), gpu)).collect();
    for metric in TABLE {
        let of = |(labels, gpu): &(Labels, &Gpu)| Some((labels.clone(), (metric.of)(gpu)?));
        page.family((metric.name, metric.shape, metric.help), gpus.iter().filter_map(of));
    }
    let throttled = gpus.iter().flat_map(|(labels, gpu)| {
        gpu.throttle_reasons.iter().flat_map(move |active| {
            let sample = |(reason, name): &(Throttle, &str)| {
                (labels.with("reason", name), f64::from(active.contains(reason)))
            };
            REASONS.iter().map(sample).collect::<Vec<_>>()
        })
    });
    let help = "1 while the clocks are lowered for the reason.";
    page.family(("osmo_gpu_throttled", Shape::Gauge, help), throttled);
    let xids = gpus.iter().flat_map(|(labels, gpu)| {
        let others = (labels.with("xid", "other"), gpu.xid.others as f64);
        let others = gpu.xid.listening.then_some(others);
        by_number(labels, &gpu.xid.counts).into_iter().chain(others)
    });
    let lately = gpus.iter().flat_map(|(labels, gpu)| by_number(labels, &gpu.xid.counts_5min));
    let help = "XID errors of the last five minutes.";
    page.family(("osmo_gpu_xid_errors_5min", Shape::Gauge, help), lately);
    let help = "XID errors since this program began to listen.";
    page.family(("osmo_gpu_xid_errors_total", Shape::Counter, help), xids);
}

/// XIDs apart.
pub(super) fn by_number(labels: &Labels, counts: &BTreeMap<u64, u64>) -> Vec<(Labels, f64)> {
    let one = |(xid, count): (&u64, &u64)| (labels.with("xid", &xid.to_string()), *count as f64);
    counts.iter().map(one).collect()
}

/// Which GPU.
fn labels(gpu: &Gpu) -> Labels {
    let identity = &gpu.identity;
    let or_empty = |value: &Option<String>| value.clone().unwrap_or_default();
    Labels::of(&[
        ("gpu", &gpu.index.to_string()),
        ("uuid", &or_empty(&identity.uuid)),
        ("pci_bus_id", &or_empty(&identity.pci_bus_id)),
        ("model", &or_empty(&identity.name)),
    ])
}
