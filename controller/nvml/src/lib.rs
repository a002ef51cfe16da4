//! What the GPUs of a node are and how they are, read through NVML.
//!
//! ```text
//!   Source ── one thread a GPU ──► NVML (opened at run time, nvml-wrapper)
//!     │  snapshot(limit): identity once, readings each time
//!     └──► Gpus: driver, [Gpu], notes           EventSet ── one thread: XIDs
//! ```
//!
//! No library, or one without a driver, means no GPUs and a note that says why;
//! it is no error. What a GPU does not support is `None`; what it refuses for
//! another reason is a note. A call that never comes back keeps its thread and
//! nothing else: the snapshot goes on without that GPU's missing readings and
//! names the reading that hangs.
//!
//! Limits: [`GPUS_MAX`] GPUs, [`LINKS_MAX`] links and [`PROCESSES_MAX`]
//! processes each, [`XIDS_MAX`] kinds of XID each.
//!
//! Names carry their units; sizes are bytes, powers watts, energies joules,
//! rates bytes per second.

mod gpu;
mod health;
mod raw;
mod read;
mod source;
mod xid;

use std::time::Duration;

pub use gpu::*;
pub use health::{Health, Verdict, XIDS_IGNORED, judge};
pub use source::{GPUS_MAX, Source};

/// How far back XIDs are counted apart from those since the start: as far as
/// NVIDIA's exporter for DCGM does.
pub const XID_WINDOW: Duration = Duration::from_secs(5 * 60);
/// NVLinks of a GPU that are looked at: the most that NVML numbers.
pub const LINKS_MAX: u32 = 36;
/// Processes of a GPU that are told.
pub const PROCESSES_MAX: usize = 256;
/// Kinds of XID of a GPU that are counted apart.
pub const XIDS_MAX: usize = 64;
