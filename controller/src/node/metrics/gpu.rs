//! The GPUs' metrics under our names.

use std::collections::BTreeMap;

use osmo_nvml::{Fabric, Gpu, NvLink, Throttle, Verdict};

use super::{Labels, Page, Shape, exact};
use crate::node::report::Report;

fn ratio(percent: Option<u32>) -> Option<f64> {
    percent.map(|percent| f64::from(percent) / 100.0)
}

/// Percent as a ratio.
pub(super) fn share(percent: Option<f64>) -> Option<f64> {
    percent.map(|percent| percent / 100.0)
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
    Gauge "osmo_gpu_graphics_active_ratio" "Share of time in which warps were active."
        |g| share(g.activity.graphics_percent);
    Gauge "osmo_gpu_sm_active_ratio" "Share of time in which multiprocessors had work."
        |g| share(g.activity.sm_percent);
    Gauge "osmo_gpu_sm_occupancy_ratio" "Warps of those that there could have been."
        |g| share(g.activity.sm_occupancy_percent);
    Gauge "osmo_gpu_tensor_active_ratio" "Share of time in which tensor cores worked."
        |g| share(g.activity.tensor_percent);
    Gauge "osmo_gpu_fp64_active_ratio" "Share of time of 64-bit arithmetic."
        |g| share(g.activity.fp64_percent);
    Gauge "osmo_gpu_fp32_active_ratio" "Share of time of 32-bit arithmetic."
        |g| share(g.activity.fp32_percent);
    Gauge "osmo_gpu_fp16_active_ratio" "Share of time of 16-bit arithmetic."
        |g| share(g.activity.fp16_percent);
    Gauge "osmo_gpu_memory_bandwidth_ratio" "Share of the memory's bandwidth."
        |g| share(g.activity.memory_bandwidth_percent);
    Gauge "osmo_gpu_nvlink_transmit_bytes_per_second" "Sent over all NVLinks."
        |g| g.activity.nvlink_transmit_bytes_per_s;
    Gauge "osmo_gpu_nvlink_receive_bytes_per_second" "Received over all NVLinks."
        |g| g.activity.nvlink_receive_bytes_per_s;
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
    Gauge "osmo_gpu_nvlink_speed_bytes_per_second" "What all NVLinks that are up carry each way."
        |g| links(g, |link| link.bytes_per_s);
    Counter "osmo_gpu_nvlink_crc_errors_total" "CRC errors of flits on all NVLinks."
        |g| links(g, |link| link.crc_errors);
    Counter "osmo_gpu_nvlink_replays_total" "Messages sent again over all NVLinks."
        |g| links(g, |link| link.replays);
    Counter "osmo_gpu_nvlink_recoveries_total" "Recoveries of all NVLinks."
        |g| links(g, |link| link.recoveries);
    Gauge "osmo_gpu_c2c_links_active" "Links to the Grace CPU that are up."
        |g| g.c2c?.links_active.map(f64::from);
    Gauge "osmo_gpu_c2c_speed_bytes_per_second" "What all links to the Grace CPU can carry."
        |g| Some(f64::from(g.c2c?.links) * exact(g.c2c?.link_bytes_per_s_max)?);
    Counter "osmo_gpu_c2c_errors_total" "Errors of the links to the Grace CPU."
        |g| exact(g.c2c?.errors);
    Counter "osmo_gpu_c2c_replays_total" "Packets sent again over the links to the Grace CPU."
        |g| exact(g.c2c?.replays);
    Gauge "osmo_gpu_processes" "Processes that use the GPU."
        |g| Some(g.processes.as_ref()?.len() as f64);
    Counter "osmo_gpu_xids_total" "XID errors of all numbers since this program began to listen."
        |g| g.xid.listening.then(|| (g.xid.counts.values().sum::<u64>() + g.xid.others) as f64);
    Gauge "osmo_gpu_healthy" "1 unless the GPU should not be scheduled on."
        |g| Some(f64::from(g.health.verdict < Verdict::Bad));
}

pub(super) fn write(page: &mut Page, report: &Report) {
    let gpus: Vec<(Labels, &Gpu)> = report.gpu.gpus.iter().map(|gpu| (labels(gpu), gpu)).collect();
    for metric in TABLE {
        let of = |(labels, gpu): &(Labels, &Gpu)| Some((labels.clone(), (metric.of)(gpu)?));
        page.family((metric.name, metric.shape, metric.help), gpus.iter().filter_map(of));
    }
    let throttled = gpus.iter().flat_map(|(labels, gpu)| {
        gpu.throttle_reasons.iter().flat_map(move |active| {
            Throttle::ALL.iter().map(move |reason| {
                (labels.with("reason", reason.name()), f64::from(active.contains(reason)))
            })
        })
    });
    let help = "1 while the clocks are lowered for the reason.";
    page.family(("osmo_gpu_throttled", Shape::Gauge, help), throttled);
    let seconds = gpus.iter().flat_map(|(labels, gpu)| {
        let known = gpu.throttle_seconds.named().into_iter();
        known.filter_map(|(reason, seconds)| Some((labels.with("reason", reason), seconds?)))
    });
    let help = "Time for which the clocks were lowered for the reason.";
    page.family(("osmo_gpu_throttle_seconds_total", Shape::Counter, help), seconds);
    let advised =
        gpus.iter().filter_map(|(labels, gpu)| Some((labels.with("action", &advised(gpu)?), 1.0)));
    let help = "1 with the action that the driver advises, none too.";
    page.family(("osmo_gpu_recovery_action_info", Shape::Gauge, help), advised);
    let fabrics =
        gpus.iter().filter_map(|(labels, gpu)| Some((fabric(labels, gpu.fabric.as_ref()?), 1.0)));
    let help = "1 with the NVLink domain that the GPU belongs to.";
    page.family(("osmo_gpu_fabric_info", Shape::Gauge, help), fabrics);
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

/// The sum over the links that are up and tell; nothing where none does.
pub(super) fn links(gpu: &Gpu, of: fn(&NvLink) -> Option<u64>) -> Option<f64> {
    let up = gpu.nvlinks.iter().filter(|link| link.active);
    exact(up.filter_map(of).reduce(u64::saturating_add))
}

/// What the driver advises.
fn advised(gpu: &Gpu) -> Option<String> {
    let word = serde_json::to_value(gpu.recovery_action?).ok()?;
    word.as_str().map(str::to_owned)
}

/// The NVLink domain in labels.
fn fabric(labels: &Labels, fabric: &Fabric) -> Labels {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let clique = fabric.clique.map_or_else(String::new, |clique| clique.to_string());
    labels
        .with("cluster_uuid", &or_empty(&fabric.cluster_uuid))
        .with("clique", &clique)
        .with("state", &or_empty(&fabric.state))
        .with("health", &or_empty(&fabric.health))
}

/// XIDs apart.
pub(super) fn by_number(labels: &Labels, counts: &BTreeMap<u64, u64>) -> Vec<(Labels, f64)> {
    let one = |(xid, count): (&u64, &u64)| (labels.with("xid", &xid.to_string()), *count as f64);
    counts.iter().map(one).collect()
}

/// Which GPU.
pub(super) fn labels(gpu: &Gpu) -> Labels {
    let identity = &gpu.identity;
    let or_empty = |value: &Option<String>| value.clone().unwrap_or_default();
    Labels::of(&[
        ("gpu", &gpu.index.to_string()),
        ("uuid", &or_empty(&identity.uuid)),
        ("pci_bus_id", &or_empty(&identity.pci_bus_id)),
        ("model", &or_empty(&identity.name)),
    ])
}
