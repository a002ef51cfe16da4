//! The report's words. Every reading is optional: what a GPU cannot tell is
//! `None`, never 0.

mod activity;
mod links;
mod sharing;
mod throttle;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Health;

pub use activity::Activity;
pub use links::{C2c, Fabric, NvLink, Pcie, Traffic};
pub use sharing::{Mig, MigInstance, Process, ProcessKind};
pub use throttle::{Throttle, ThrottleSeconds};

/// All GPUs of a node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gpus {
    /// The driver; `None` where there is none.
    pub driver: Option<Driver>,
    /// In NVML's order.
    pub gpus: Vec<Gpu>,
    /// What is missing and why, for people.
    pub notes: Vec<String>,
}

/// Versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    /// `580.82.07`
    pub driver_version: Option<String>,
    /// `13.580.82.07`
    pub nvml_version: Option<String>,
    /// The newest CUDA that the driver serves, `13.0`.
    pub cuda_version: Option<String>,
}

/// One GPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gpu {
    /// NVML's number.
    pub index: u32,
    /// What it is.
    #[serde(flatten)]
    pub identity: Identity,
    /// It fell off the bus: what is told of it was read before.
    pub lost: bool,
    /// Frame buffer.
    pub memory: Memory,
    /// Shares of time.
    pub utilization: Utilization,
    /// How busy its parts were since the last reading.
    pub activity: Activity,
    /// Now and at most.
    pub clocks: Clocks,
    /// Why the clocks are lower than they could be.
    pub throttle_reasons: Option<Vec<Throttle>>,
    /// For how long they were.
    pub throttle_seconds: ThrottleSeconds,
    /// Draw, limits, energy.
    pub power: Power,
    /// Degrees.
    pub temperature: Temperature,
    /// Memory errors.
    pub ecc: Ecc,
    /// Rows of HBM that were replaced.
    pub remapped_rows: RemappedRows,
    /// What the driver advises.
    pub recovery_action: Option<RecoveryAction>,
    /// Errors that the driver has told since this process began to listen.
    pub xid: Xid,
    /// The link to the host.
    pub pcie: Pcie,
    /// Links to other GPUs and switches; empty where there are none.
    pub nvlinks: Vec<NvLink>,
    /// All NVLinks together, counted since the driver was loaded.
    pub nvlink_traffic: Traffic,
    /// The coherent link to a Grace CPU.
    pub c2c: Option<C2c>,
    /// The NVLink domain.
    pub fabric: Option<Fabric>,
    /// Partitions.
    pub mig: Option<Mig>,
    /// `P0` … `P15`
    pub performance_state: Option<String>,
    /// Who uses it, host PIDs; at most `PROCESSES_MAX`.
    pub processes: Option<Vec<Process>>,
    /// What all this comes to.
    pub health: Health,
}

/// What does not change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// `GPU-…`
    pub uuid: Option<String>,
    /// `NVIDIA H100 80GB HBM3`
    pub name: Option<String>,
    /// The board's serial number.
    pub serial: Option<String>,
    /// `Tesla`
    pub brand: Option<String>,
    /// `Hopper`
    pub architecture: Option<String>,
    /// `9.0`
    pub cuda_compute_capability: Option<String>,
    /// CUDA cores.
    pub cores: Option<u32>,
    /// `96.00.89.00.01`
    pub vbios_version: Option<String>,
    /// `0000:18:00.0`, as sysfs writes it.
    pub pci_bus_id: Option<String>,
    /// The NUMA node beside it, from sysfs.
    pub numa_node: Option<u32>,
    /// CPUs beside it, `0-31,64-95`.
    pub cpu_affinity: Option<String>,
}

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Installed.
    pub total_bytes: Option<u64>,
    /// Allocated.
    pub used_bytes: Option<u64>,
    /// Free.
    pub free_bytes: Option<u64>,
    /// Kept by the driver.
    pub reserved_bytes: Option<u64>,
    /// The window that the host can map.
    pub bar1_total_bytes: Option<u64>,
    /// Mapped.
    pub bar1_used_bytes: Option<u64>,
}

/// Shares of the last sample period, percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Utilization {
    /// A kernel ran.
    pub gpu_percent: Option<u32>,
    /// Memory was read or written.
    pub memory_percent: Option<u32>,
    /// The encoder worked.
    pub encoder_percent: Option<u32>,
    /// The decoder worked.
    pub decoder_percent: Option<u32>,
}

/// MHz.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clocks {
    /// Now.
    pub graphics_mhz: Option<u32>,
    /// Now.
    pub sm_mhz: Option<u32>,
    /// Now.
    pub memory_mhz: Option<u32>,
    /// Now.
    pub video_mhz: Option<u32>,
    /// At most.
    pub graphics_mhz_max: Option<u32>,
    /// At most.
    pub sm_mhz_max: Option<u32>,
    /// At most.
    pub memory_mhz_max: Option<u32>,
    /// At most.
    pub video_mhz_max: Option<u32>,
}

/// Watts and joules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Power {
    /// Average of a second, or at this instant, as the GPU has it.
    pub draw_watts: Option<f64>,
    /// What is enforced.
    pub limit_watts: Option<f64>,
    /// The lowest limit that can be set.
    pub limit_watts_min: Option<f64>,
    /// The highest limit that can be set.
    pub limit_watts_max: Option<f64>,
    /// Since the driver was loaded.
    pub energy_joules: Option<f64>,
}

/// Degrees Celsius.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Temperature {
    /// The die.
    pub gpu_celsius: Option<u32>,
    /// HBM.
    pub memory_celsius: Option<u32>,
    /// Where clocks are lowered.
    pub slowdown_celsius: Option<u32>,
    /// Where it shuts down.
    pub shutdown_celsius: Option<u32>,
}

/// Counts since boot (volatile) and since manufacture (aggregate).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ecc {
    /// On.
    pub enabled: Option<bool>,
    /// On after the next reboot.
    pub pending: Option<bool>,
    /// Corrected since boot.
    pub corrected_volatile: Option<u64>,
    /// Not corrected since boot.
    pub uncorrected_volatile: Option<u64>,
    /// Corrected ever.
    pub corrected_aggregate: Option<u64>,
    /// Not corrected ever.
    pub uncorrected_aggregate: Option<u64>,
}

/// Rows of HBM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RemappedRows {
    /// After corrected errors.
    pub correctable: Option<u64>,
    /// After uncorrected errors.
    pub uncorrectable: Option<u64>,
    /// Waits for a reset.
    pub pending: Option<bool>,
    /// Failed once: no rows left.
    pub failure: Option<bool>,
}

/// What the driver advises after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryAction {
    /// Nothing.
    None,
    /// Reset the GPU.
    GpuReset,
    /// Reboot the node.
    NodeReboot,
    /// Let peers finish, then reset.
    DrainPeers,
    /// Drain, then reset.
    DrainAndReset,
    /// Recover the NVLink domain.
    RecoverDomain,
    /// Reset the GPU's PCIe bus.
    BusReset,
    /// Reboot the whole system.
    SystemReboot,
    /// A value of a later driver.
    Other,
}

/// Errors that the driver told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Xid {
    /// False where the driver tells none.
    pub listening: bool,
    /// The last one's number.
    pub last: Option<u64>,
    /// Count by number; at most `XIDS_MAX` numbers.
    pub counts: BTreeMap<u64, u64>,
    /// Those beyond.
    pub others: u64,
    /// Count by number in the last [`crate::XID_WINDOW`], to ten seconds.
    pub counts_5min: BTreeMap<u64, u64>,
}
