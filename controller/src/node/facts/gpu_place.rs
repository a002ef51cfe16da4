//! Where a GPU sits: sysfs knows its NUMA node and CPUs on every machine, NVML
//! only on some.

use osmo_nvml::Identity;

use super::network::numa_node;
use crate::node::root::Root;

pub(crate) fn fill(root: &Root, identity: &mut Identity) {
    let Some(bus_id) = &identity.pci_bus_id else { return };
    let folder = format!("/sys/bus/pci/devices/{bus_id}");
    identity.numa_node = numa_node(root, &format!("{folder}/numa_node"));
    identity.cpu_affinity =
        root.text(&format!("{folder}/local_cpulist")).filter(|list| !list.is_empty());
}
