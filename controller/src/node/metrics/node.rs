//! The node's own metrics.

use jiff::Timestamp;

use super::{Labels, Page, Shape, exact};
use crate::node::facts::pressure::{Pressure, Psi};
use crate::node::report::Report;

table! { Report:
    Gauge "osmo_node_snapshot_timestamp_seconds" "When what this page tells was read."
        |report| Some(report.time.parse::<Timestamp>().ok()?.as_millisecond() as f64 / 1e3);
    Gauge "osmo_node_cpus" "Logical CPUs online." |report| Some(report.cpu.online.into());
    Gauge "osmo_node_memory_total_bytes" "Memory of the node."
        |report| exact(report.memory.total_bytes);
    Gauge "osmo_node_memory_available_bytes" "Memory that can be had without swapping."
        |report| exact(report.memory.available_bytes);
    Gauge "osmo_node_io_uring_available" "1 where io_uring can be used."
        |report| report.io_uring.available.map(f64::from);
    Gauge "osmo_node_gpus" "GPUs that the driver knows."
        |report| Some(report.gpu.gpus.len() as f64);
    Gauge "osmo_node_gpu_driver_up" "1 where NVML answers."
        |report| Some(f64::from(report.gpu.driver.is_some()));
}

pub(super) fn write(page: &mut Page, report: &Report) {
    let version = Labels::of(&[("version", env!("CARGO_PKG_VERSION"))]);
    let build = ("osmo_node_build_info", Shape::Gauge, "The reporting program.");
    page.family(build, [(version, 1.0)]);
    for metric in TABLE {
        let value = (metric.of)(report).map(|value| (Labels::default(), value));
        page.family((metric.name, metric.shape, metric.help), value);
    }
    pressure(page, "osmo_node_pressure", &report.pressure);
    pressure(page, "osmo_cgroup_pressure", &report.cgroup_pressure);
    let speeds = report.nics.iter().filter_map(|nic| {
        Some((Labels::of(&[("device", nic.name.as_str())]), nic.bits_per_s? as f64 / 8.0))
    });
    let help = "What a network interface can carry.";
    page.family(("osmo_node_network_speed_bytes_per_second", Shape::Gauge, help), speeds);
    let free = report.scratch.iter().filter_map(|disk| {
        let labels = Labels::of(&[("path", disk.path.as_str()), ("kind", disk.kind)]);
        Some((labels, disk.available_bytes? as f64))
    });
    let help = "Free space where data could be put.";
    page.family(("osmo_node_scratch_available_bytes", Shape::Gauge, help), free);
}

fn pressure(page: &mut Page, whose: &str, pressure: &Pressure) {
    let all = [("cpu", pressure.cpu), ("memory", pressure.memory), ("io", pressure.io)];
    let mut family = |kind: &str, help: &str, of: fn(&Psi) -> Option<f64>| {
        let samples = all.iter().filter_map(|(resource, psi)| {
            Some((Labels::of(&[("resource", resource)]), of(psi.as_ref()?)?))
        });
        let name = format!("{whose}_{kind}_seconds_total");
        page.family((&name, Shape::Counter, help), samples);
    };
    let some = "Time that somebody waited for a resource.";
    family("some", some, |psi| Some(psi.some_seconds_total));
    let full = "Time that everybody waited for a resource.";
    family("full", full, |psi| psi.full_seconds_total);
}
