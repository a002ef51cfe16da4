//! The report as a person reads it.

use std::fmt::Write as _;

use osmo_engine::units::bytes;
use osmo_nvml::{Gpu, Throttle, Verdict};

use super::facts::pressure::Psi;
use super::report::Report;

/// Unknown values.
const NONE: &str = "–";

/// Processes of a GPU in the table; the JSON has them all.
const PROCESSES_SHOWN: usize = 4;

/// The whole table.
pub(crate) fn table(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = node(&mut text, report);
    let _ = gpus(&mut text, report);
    text
}

fn or_none<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), show)
}

fn row(text: &mut String, name: &str, value: &str) -> std::fmt::Result {
    writeln!(text, "{name:<12}{value}")
}

fn node(text: &mut String, report: &Report) -> std::fmt::Result {
    let (cpu, memory) = (&report.cpu, &report.memory);
    row(text, "node", &report.hostname)?;
    let os = report.kernel.os.clone().unwrap_or_default();
    row(text, "kernel", &format!("{} {os}", or_none(report.kernel.release.clone(), |r| r)))?;
    let model = cpu.model.clone().unwrap_or_default();
    row(text, "cpu", &format!("{} × {model}, {} NUMA nodes", cpu.online, cpu.numa_nodes.len()))?;
    let of = |value: Option<u64>| or_none(value, bytes);
    let total = of(memory.total_bytes);
    row(text, "memory", &format!("{total}, {} available", of(memory.available_bytes)))?;
    if let Some(group) = &report.cgroup {
        let cores = or_none(group.cpu_quota_cores, |cores| format!("{cores:.2}"));
        let limit = of(group.memory_limit_bytes);
        let version = group.version;
        row(text, "cgroup", &format!("v{version}, CPU quota {cores}, memory limit {limit}"))?;
    }
    let uring = match report.io_uring.available {
        Some(true) => "yes",
        Some(false) => "no",
        None => NONE,
    };
    row(text, "io_uring", &format!("{uring}: {}", report.io_uring.reason))?;
    let some = |psi: Option<Psi>| or_none(psi, |psi| format!("{:.1} %", psi.some_percent_10s));
    let pressure = &report.pressure;
    let (cpu, memory, io) = (some(pressure.cpu), some(pressure.memory), some(pressure.io));
    row(text, "pressure", &format!("cpu {cpu}, memory {memory}, io {io}"))?;
    for nic in &report.nics {
        let speed = or_none(nic.bits_per_s, |bits| format!("{} Gbit/s", bits as f64 / 1e9));
        let driver = nic.driver.clone().unwrap_or_default();
        let mtu = or_none(nic.mtu_bytes, |mtu| mtu.to_string());
        let state = nic.state.clone().unwrap_or_default();
        row(text, "nic", &format!("{}: {speed}, MTU {mtu}, {driver}, {state}", nic.name))?;
    }
    for device in &report.rdma {
        let rates = device.ports.iter().filter_map(|port| port.bits_per_s);
        let speed = or_none(rates.max(), |bits| format!("{} Gbit/s", bits / 1_000_000_000));
        row(text, "rdma", &format!("{}: {speed}", device.name))?;
    }
    for disk in &report.scratch {
        let free = of(disk.available_bytes);
        row(text, "scratch", &format!("{} {} on {}, {free} free", disk.path, disk.fs, disk.kind))?;
    }
    Ok(())
}

fn gpus(text: &mut String, report: &Report) -> std::fmt::Result {
    if let Some(driver) = &report.gpu.driver {
        let version = or_none(driver.driver_version.clone(), |v| v);
        let cuda = or_none(driver.cuda_version.clone(), |v| v);
        row(text, "driver", &format!("{version}, CUDA {cuda}"))?;
    }
    if !report.gpu.gpus.is_empty() {
        writeln!(
            text,
            "\n{:<4}{:<28}{:>24}{:>7}{:>7}{:>10}{:>7}{:>8}  health",
            "gpu", "name", "memory", "use", "temp", "power", "sm", "pcie"
        )?;
    }
    for one in &report.gpu.gpus {
        gpu(text, one)?;
    }
    for note in &report.gpu.notes {
        row(text, "note", note)?;
    }
    Ok(())
}

fn gpu(text: &mut String, gpu: &Gpu) -> std::fmt::Result {
    let memory = or_none(gpu.memory.used_bytes.zip(gpu.memory.total_bytes), |(used, total)| {
        format!("{} of {}", bytes(used), bytes(total))
    });
    let health = match gpu.health.verdict {
        Verdict::Ok => "ok".to_owned(),
        Verdict::Degraded => format!("degraded: {}", gpu.health.reasons.join("; ")),
        Verdict::Bad => format!("BAD: {}", gpu.health.reasons.join("; ")),
    };
    writeln!(
        text,
        "{:<4}{:<28}{memory:>24}{:>7}{:>7}{:>10}{:>7}{:>8}  {health}",
        gpu.index,
        or_none(gpu.identity.name.clone(), |name| name.chars().take(27).collect()),
        or_none(gpu.utilization.gpu_percent, |percent| format!("{percent} %")),
        or_none(gpu.temperature.gpu_celsius, |celsius| format!("{celsius} °C")),
        or_none(gpu.power.draw_watts, |watts| format!("{watts:.0} W")),
        or_none(gpu.clocks.sm_mhz, |mhz| mhz.to_string()),
        or_none(gpu.pcie.generation.zip(gpu.pcie.width), |(g, w)| format!("{g} × {w}")),
    )?;
    let details = details(gpu);
    if !details.is_empty() {
        writeln!(text, "    {}", details.join(", "))?;
    }
    for partition in gpu.mig.iter().flat_map(|mig| &mig.instances) {
        let name = or_none(partition.name.clone(), |name| name);
        writeln!(text, "    └ {name} {}", or_none(partition.memory.total_bytes, bytes))?;
    }
    let processes = gpu.processes.as_deref().unwrap_or_default();
    for process in processes.iter().take(PROCESSES_SHOWN) {
        let (name, used) = (process.name.as_deref().unwrap_or(NONE), process.used_bytes);
        writeln!(text, "    · {} {name} {}", process.pid, or_none(used, bytes))?;
    }
    match processes.len().saturating_sub(PROCESSES_SHOWN) {
        0 => Ok(()),
        more => writeln!(text, "    · and {more} more processes"),
    }
}

/// Links, the domain, and what holds the clocks down, where there is any.
fn details(gpu: &Gpu) -> Vec<String> {
    let mut parts = Vec::new();
    if !gpu.nvlinks.is_empty() {
        let up = gpu.nvlinks.iter().filter(|link| link.active);
        let speed = up.clone().find_map(|link| link.bytes_per_s);
        let speed = speed.map_or_else(String::new, |speed| format!(" × {}", rate(speed)));
        parts.push(format!("NVLink {} of {}{speed}", up.count(), gpu.nvlinks.len()));
    }
    if let Some(c2c) = &gpu.c2c {
        let up = or_none(c2c.links_active, |up| up.to_string());
        let speed = c2c.link_bytes_per_s_max;
        let speed = speed.map_or_else(String::new, |speed| format!(" × {}", rate(speed)));
        parts.push(format!("C2C {up} of {}{speed}", c2c.links));
    }
    let fabric = gpu.fabric.as_ref();
    if let Some((cluster, clique)) =
        fabric.and_then(|fabric| fabric.cluster_uuid.as_ref().zip(fabric.clique))
    {
        parts.push(format!("clique {cluster}.{clique}"));
    }
    let reasons = gpu.throttle_reasons.iter().flatten().filter(|&&why| why != Throttle::Idle);
    let reasons: Vec<&str> = reasons.map(|why| why.name()).collect();
    if !reasons.is_empty() {
        parts.push(format!("clocks lowered: {}", reasons.join(", ")));
    }
    parts
}

fn rate(bytes_per_s: u64) -> String {
    format!("{:.1} GB/s", bytes_per_s as f64 / 1e9)
}
