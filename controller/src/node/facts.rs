//! What `/proc` and `/sys` tell, a subject a file.

pub(crate) mod cgroup;
pub(crate) mod cpu;
pub(crate) mod gpu_place;
pub(crate) mod kernel;
pub(crate) mod memory;
pub(crate) mod mounts;
pub(crate) mod network;
pub(crate) mod pressure;
pub(crate) mod process;
pub(crate) mod scratch;
pub(crate) mod uring;
