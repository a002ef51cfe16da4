//! The report's words. Absent values are `null`: nothing is guessed.

use osmo_nvml::Gpus;
use serde::Serialize;

use super::facts::cgroup::Cgroup;
use super::facts::cpu::Cpu;
use super::facts::kernel::Kernel;
use super::facts::memory::Memory;
use super::facts::network::{Nic, Rdma};
use super::facts::pressure::Pressure;
use super::facts::scratch::Scratch;
use super::facts::uring::IoUring;
use super::resource::Resource;

/// A node at one moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// RFC 3339, UTC.
    pub(crate) time: String,
    pub(crate) hostname: String,
    pub(crate) kernel: Kernel,
    pub(crate) cpu: Cpu,
    pub(crate) memory: Memory,
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) pressure: Pressure,
    pub(crate) cgroup_pressure: Pressure,
    pub(crate) io_uring: IoUring,
    pub(crate) nics: Vec<Nic>,
    pub(crate) rdma: Vec<Rdma>,
    pub(crate) scratch: Vec<Scratch>,
    /// `driver`, `gpus`, `notes`.
    pub(crate) gpu: Gpus,
    /// The body of OSMO's `resource` message; what is ours stays outside of
    /// it, since the service refuses keys that it does not know.
    pub(crate) resource: Resource,
}
