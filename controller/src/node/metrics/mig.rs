//! The partitions' metrics.

use osmo_nvml::{Gpu, MigInstance};

use super::gpu::{labels, share};
use super::{Labels, Page, exact};
use crate::node::report::Report;

table! { MigInstance:
    Gauge "osmo_gpu_mig_memory_total_bytes" "Memory of a partition."
        |i| exact(i.memory.total_bytes);
    Gauge "osmo_gpu_mig_memory_used_bytes" "Memory in use of a partition."
        |i| exact(i.memory.used_bytes);
    Gauge "osmo_gpu_mig_graphics_active_ratio" "Share of time in which a partition's warps were active."
        |i| share(i.activity.graphics_percent);
    Gauge "osmo_gpu_mig_sm_active_ratio" "Share of time in which a partition's multiprocessors had work."
        |i| share(i.activity.sm_percent);
    Gauge "osmo_gpu_mig_sm_occupancy_ratio" "Warps of a partition of those that there could have been."
        |i| share(i.activity.sm_occupancy_percent);
    Gauge "osmo_gpu_mig_tensor_active_ratio" "Share of time in which a partition's tensor cores worked."
        |i| share(i.activity.tensor_percent);
    Gauge "osmo_gpu_mig_memory_bandwidth_ratio" "Share of a partition's memory bandwidth."
        |i| share(i.activity.memory_bandwidth_percent);
}

pub(super) fn write(page: &mut Page, report: &Report) {
    let instances = |gpu: &Gpu| gpu.mig.clone().map_or_else(Vec::new, |mig| mig.instances);
    let all: Vec<(Labels, MigInstance)> = report
        .gpu
        .gpus
        .iter()
        .flat_map(|gpu| {
            instances(gpu).into_iter().map(|instance| (which(gpu, &instance), instance))
        })
        .collect();
    for metric in TABLE {
        let of = |(labels, i): &(Labels, MigInstance)| Some((labels.clone(), (metric.of)(i)?));
        page.family((metric.name, metric.shape, metric.help), all.iter().filter_map(of));
    }
}

/// Which partition of which GPU.
fn which(gpu: &Gpu, instance: &MigInstance) -> Labels {
    let number = |number: Option<u32>| number.map_or_else(String::new, |n| n.to_string());
    labels(gpu)
        .with("mig_uuid", instance.uuid.as_deref().unwrap_or_default())
        .with("gpu_instance", &number(instance.gpu_instance))
        .with("compute_instance", &number(instance.compute_instance))
}
