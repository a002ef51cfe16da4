//! How busy the parts of a GPU were.

use serde::{Deserialize, Serialize};

/// Between two readings, by the GPU's performance monitor (Hopper and later): the
/// first reading has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Activity {
    /// A warp was active, averaged over the multiprocessors.
    pub graphics_percent: Option<f64>,
    /// A multiprocessor had a warp, averaged over them.
    pub sm_percent: Option<f64>,
    /// Warps of those that there could have been.
    pub sm_occupancy_percent: Option<f64>,
    /// Tensor cores worked.
    pub tensor_percent: Option<f64>,
    /// 64-bit arithmetic.
    pub fp64_percent: Option<f64>,
    /// 32-bit arithmetic.
    pub fp32_percent: Option<f64>,
    /// 16-bit arithmetic.
    pub fp16_percent: Option<f64>,
    /// Of the memory's bandwidth.
    pub memory_bandwidth_percent: Option<f64>,
    /// GPU to host.
    pub pcie_transmit_bytes_per_s: Option<f64>,
    /// Host to GPU.
    pub pcie_receive_bytes_per_s: Option<f64>,
    /// Over all NVLinks.
    pub nvlink_transmit_bytes_per_s: Option<f64>,
    /// Over all NVLinks.
    pub nvlink_receive_bytes_per_s: Option<f64>,
}
