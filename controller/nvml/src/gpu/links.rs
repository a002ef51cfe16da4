//! Links of a GPU: to the host, to its CPU, to others.

use serde::{Deserialize, Serialize};

/// The link to the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pcie {
    /// Now: lower while idle.
    pub generation: Option<u32>,
    /// Lanes now.
    pub width: Option<u32>,
    /// What GPU and slot can.
    pub generation_max: Option<u32>,
    /// What GPU and slot can.
    pub width_max: Option<u32>,
    /// GPU to host.
    pub transmit_bytes_per_s: Option<u64>,
    /// Host to GPU.
    pub receive_bytes_per_s: Option<u64>,
    /// Packets sent again, ever.
    pub replays: Option<u64>,
}

/// Bytes counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Sent.
    pub transmit_bytes_total: Option<u64>,
    /// Received.
    pub receive_bytes_total: Option<u64>,
}

/// One NVLink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NvLink {
    /// NVML's number.
    pub index: u32,
    /// Up.
    pub active: bool,
    /// Generation.
    pub version: Option<u32>,
    /// What it carries each way.
    pub bytes_per_s: Option<u64>,
    /// The other end, as sysfs writes it.
    pub peer_pci_bus_id: Option<String>,
    /// `gpu`, `switch`, `cpu`
    pub peer: Option<String>,
    /// CRC errors of flits.
    pub crc_errors: Option<u64>,
    /// Messages sent again.
    pub replays: Option<u64>,
    /// Recoveries.
    pub recoveries: Option<u64>,
}

/// The link to a Grace CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct C2c {
    /// Links.
    pub links: u32,
    /// Up.
    pub links_active: Option<u32>,
    /// One link at most.
    pub link_bytes_per_s_max: Option<u64>,
    /// Errors of all links that interrupted.
    pub errors: Option<u64>,
    /// Packets sent again, over all links.
    pub replays: Option<u64>,
}

/// The NVLink domain of an NVL system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fabric {
    /// The domain.
    pub cluster_uuid: Option<String>,
    /// The clique within it.
    pub clique: Option<u32>,
    /// `not_started`, `in_progress`, `completed`, `error`
    pub state: Option<String>,
    /// `healthy`, `unhealthy`, `limited_capacity`
    pub health: Option<String>,
    /// NVML's bits of what is wrong; two each.
    pub health_mask: Option<u32>,
}
