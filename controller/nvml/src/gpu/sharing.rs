//! Who shares a GPU: partitions and processes.

use serde::{Deserialize, Serialize};

use super::{Activity, Memory};

/// Partitions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mig {
    /// On.
    pub enabled: bool,
    /// On after the next reset.
    pub pending: bool,
    /// Those that exist.
    pub instances: Vec<MigInstance>,
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MigInstance {
    /// NVML's number below the GPU.
    pub index: u32,
    /// `MIG-…`
    pub uuid: Option<String>,
    /// `NVIDIA A100-SXM4-40GB MIG 1g.5gb`
    pub name: Option<String>,
    /// Its memory.
    pub memory: Memory,
    /// How busy its GPU instance was since the last reading.
    pub activity: Activity,
    /// Streaming multiprocessors.
    pub multiprocessors: Option<u32>,
    /// Slices of the GPU.
    pub gpu_slices: Option<u32>,
    /// Slices of the instance.
    pub compute_slices: Option<u32>,
    /// The instance's number.
    pub gpu_instance: Option<u32>,
    /// The compute instance's number.
    pub compute_instance: Option<u32>,
}

/// A user of the GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// On the host.
    pub pid: u32,
    /// `python3`, from `/proc`; `None` where that numbers processes otherwise.
    pub name: Option<String>,
    /// What it does.
    pub kind: ProcessKind,
    /// `None` where the driver does not tell.
    pub used_bytes: Option<u64>,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessKind {
    /// CUDA.
    Compute,
    /// Graphics.
    Graphics,
    /// CUDA through MPS.
    Mps,
}
