//! OSMO's `resource` message, as far as a node can tell it of itself: what
//! Kubernetes alone knows (conditions, taints, allocations) is left to the
//! operator, which merges both.

use std::collections::BTreeMap;

use osmo_nvml::{Gpu, Gpus, Verdict};
use serde::Serialize;

use super::facts::cpu::Cpu;
use super::facts::memory::Memory;
use super::facts::scratch::Scratch;

/// The message's body: the service refuses other keys.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Resource {
    pub(crate) hostname: String,
    pub(crate) available: bool,
    pub(crate) conditions: Vec<String>,
    pub(crate) processed_fields: BTreeMap<String, String>,
    pub(crate) allocatable_fields: BTreeMap<String, String>,
    pub(crate) label_fields: BTreeMap<String, String>,
    pub(crate) taints: Vec<serde_json::Value>,
}

const KIB: u64 = 1024;
const MIB: u64 = 1 << 20;

pub(crate) fn message(
    hostname: &str,
    cpu: &Cpu,
    memory: &Memory,
    scratch: &[Scratch],
    gpus: &Gpus,
    looked_for_gpus: bool,
) -> Resource {
    let healthy = gpus.gpus.iter().all(|gpu| gpu.health.verdict < Verdict::Bad);
    // "Ready" is the kubelet's to say.
    let unhealthy = (!healthy).then(|| "GpuUnhealthy".to_owned());
    Resource {
        hostname: hostname.to_owned(),
        available: healthy,
        conditions: unhealthy.into_iter().collect(),
        processed_fields: BTreeMap::new(),
        allocatable_fields: allocatable(cpu, memory, scratch, looked_for_gpus.then_some(gpus)),
        label_fields: labels(hostname, gpus),
        taints: Vec::new(),
    }
}

/// Strings as Kubernetes writes them.
fn allocatable(
    cpu: &Cpu,
    memory: &Memory,
    scratch: &[Scratch],
    gpus: Option<&Gpus>,
) -> BTreeMap<String, String> {
    let kib = |bytes: u64| format!("{}Ki", bytes / KIB);
    let root = scratch.iter().find(|mount| mount.path == "/").and_then(|mount| mount.total_bytes);
    let mut fields = BTreeMap::from([("cpu".to_owned(), cpu.online.to_string())]);
    fields.extend(memory.total_bytes.map(|bytes| ("memory".to_owned(), kib(bytes))));
    fields.extend(root.map(|bytes| ("ephemeral-storage".to_owned(), kib(bytes))));
    let Some(gpus) = gpus else { return fields };
    let whole = gpus.gpus.iter().filter(|gpu| !is_partitioned(gpu)).count();
    fields.insert("nvidia.com/gpu".to_owned(), whole.to_string());
    for gpu in gpus.gpus.iter().filter(|gpu| is_partitioned(gpu)) {
        for profile in gpu.mig.iter().flat_map(|mig| &mig.instances).filter_map(profile) {
            let count =
                fields.entry(format!("nvidia.com/mig-{profile}")).or_insert_with(|| "0".into());
            *count = (count.parse().unwrap_or(0) + 1).to_string();
        }
    }
    fields
}

fn is_partitioned(gpu: &Gpu) -> bool {
    gpu.mig.as_ref().is_some_and(|mig| mig.enabled)
}

/// `1g.5gb`, the last word of a partition's name, as the device plugin writes
/// it. It knows no shares of GPU instances (`1c.3g.20gb`).
fn profile(instance: &osmo_nvml::MigInstance) -> Option<String> {
    let profile = instance.name.as_deref()?.rsplit(' ').next()?;
    let is_share = profile.split('.').next()?.ends_with('c');
    (!is_share).then(|| profile.replace('+', "."))
}

/// As GPU feature discovery spells it.
fn family(architecture: &str) -> String {
    match architecture {
        "Ada" => "ada-lovelace".to_owned(),
        other => other.to_lowercase(),
    }
}

/// The names that GPU feature discovery gives a node.
fn labels(hostname: &str, gpus: &Gpus) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            labels.insert(name.to_owned(), value);
        }
    };
    put("kubernetes.io/hostname", Some(hostname.to_owned()));
    let Some(gpu) = gpus.gpus.first() else { return labels };
    let driver = gpus.driver.clone().unwrap_or_default();
    put("nvidia.com/gpu.count", Some(gpus.gpus.len().to_string()));
    put("nvidia.com/gpu.product", gpu.identity.name.as_ref().map(|name| name.replace(' ', "-")));
    put("nvidia.com/gpu.family", gpu.identity.architecture.as_deref().map(family));
    put("nvidia.com/gpu.memory", gpu.memory.total_bytes.map(|b| (b / MIB).to_string()));
    let version = gpu.identity.cuda_compute_capability.as_deref().and_then(|v| v.split_once('.'));
    put("nvidia.com/gpu.compute.major", version.map(|(major, _)| major.to_owned()));
    put("nvidia.com/gpu.compute.minor", version.map(|(_, minor)| minor.to_owned()));
    put("nvidia.com/cuda.driver-version.full", driver.driver_version);
    put("nvidia.com/cuda.runtime-version.full", driver.cuda_version);
    let fabric = gpu.fabric.as_ref();
    let clique = fabric.and_then(|f| Some(format!("{}.{}", f.cluster_uuid.as_ref()?, f.clique?)));
    put("nvidia.com/gpu.clique", clique);
    labels
}
