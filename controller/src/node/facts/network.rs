//! Network interfaces that are hardware, and RDMA devices.

use serde::Serialize;

use crate::node::root::Root;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Nic {
    pub(crate) name: String,
    /// `up`, `down`
    pub(crate) state: Option<String>,
    /// Absent where the driver does not tell, as virtual machines' often do
    /// not.
    pub(crate) bits_per_s: Option<u64>,
    pub(crate) mtu_bytes: Option<u64>,
    pub(crate) driver: Option<String>,
    pub(crate) pci_address: Option<String>,
    pub(crate) numa_node: Option<u32>,
    pub(crate) receive_queues: usize,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rdma {
    pub(crate) name: String,
    pub(crate) ports: Vec<RdmaPort>,
    pub(crate) numa_node: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct RdmaPort {
    pub(crate) port: u32,
    /// `ACTIVE`
    pub(crate) state: Option<String>,
    /// `InfiniBand`, `Ethernet`
    pub(crate) link_layer: Option<String>,
    pub(crate) bits_per_s: Option<u64>,
}

const MBIT: u64 = 1_000_000;
const GBIT: u64 = 1_000_000_000;

pub(crate) fn nics(root: &Root) -> Vec<Nic> {
    let names = root.names("/sys/class/net");
    let real =
        names.into_iter().filter(|name| root.exists(&format!("/sys/class/net/{name}/device")));
    real.map(|name| nic(root, name)).collect()
}

fn nic(root: &Root, name: String) -> Nic {
    let of = |what: &str| format!("/sys/class/net/{name}/{what}");
    let positive = |what: &str| root.number(&of(what)).and_then(|n| u64::try_from(n).ok());
    let queues = root.names(&of("queues"));
    Nic {
        state: root.text(&of("operstate")),
        bits_per_s: positive("speed").filter(|&mbit| mbit > 0).map(|mbit| mbit * MBIT),
        mtu_bytes: positive("mtu"),
        driver: root.link_name(&of("device/driver")),
        pci_address: root.link_name(&of("device")).filter(|name| name.contains(':')),
        numa_node: numa_node(root, &of("device/numa_node")),
        receive_queues: queues.iter().filter(|queue| queue.starts_with("rx-")).count(),
        name,
    }
}

/// −1 says "none".
pub(crate) fn numa_node(root: &Root, path: &str) -> Option<u32> {
    root.number(path).and_then(|node| u32::try_from(node).ok())
}

pub(crate) fn rdma(root: &Root) -> Vec<Rdma> {
    const FOLDER: &str = "/sys/class/infiniband";
    let device = |name: String| {
        let folder = format!("{FOLDER}/{name}/ports");
        let names = root.names(&folder);
        let ports = names.iter().filter_map(|port| port.parse().ok()).map(|port| {
            let of = |what: &str| root.text(&format!("{folder}/{port}/{what}"));
            RdmaPort {
                port,
                // `4: ACTIVE`
                state: of("state").and_then(|text| Some(text.split_once(": ")?.1.to_owned())),
                link_layer: of("link_layer"),
                bits_per_s: of("rate").as_deref().and_then(rate),
            }
        });
        let ports = ports.collect();
        let numa_node = numa_node(root, &format!("{FOLDER}/{name}/device/numa_node"));
        Rdma { ports, numa_node, name }
    };
    root.names(FOLDER).into_iter().map(device).collect()
}

/// `400 Gb/sec (4X NDR)`
fn rate(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(GBIT)
}
