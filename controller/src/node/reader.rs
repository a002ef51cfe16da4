//! Reads everything, keeping between two readings what does not change.

use std::time::Duration;

use jiff::Timestamp;
use osmo_nvml::{Gpus, Source};

use super::facts::uring::IoUring;
use super::facts::{
    cgroup, cpu, gpu_place, kernel, memory, network, pressure, process, scratch, uring,
};
use super::report::Report;
use super::resource;
use super::root::Root;
use crate::cli::ReadArgs;

/// How long the driver may take to start.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// How long all GPUs may take for one reading.
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(2);

pub(crate) struct Reader {
    root: Root,
    gpus: Option<Source>,
    io_uring: IoUring,
}

impl Reader {
    pub(crate) fn open(args: &ReadArgs) -> Self {
        let root = Root::new(args.sysroot.as_deref());
        // Another node's files say nothing about this machine's GPUs.
        let gpus = (root.is_this_machine() || args.nvml.is_some())
            .then(|| Source::open(args.nvml.as_deref(), OPEN_LIMIT));
        Self { io_uring: uring::probe(&root), root, gpus }
    }

    pub(crate) fn read(&mut self) -> Report {
        let root = &self.root;
        let mut gpu = match &mut self.gpus {
            Some(source) => source.snapshot(SNAPSHOT_LIMIT),
            None => Gpus::default(),
        };
        for gpu in &mut gpu.gpus {
            gpu_place::fill(root, &mut gpu.identity);
            process::name(root, gpu.processes.as_deref_mut().unwrap_or_default());
        }
        let (kernel, cpu) = (kernel::read(root), cpu::read(root));
        let (memory, cgroup) = (memory::read(root), cgroup::read(root));
        let hostname = kernel.hostname.clone();
        let scratch = scratch::read(root);
        Report {
            time: Timestamp::now().to_string(),
            resource: resource::message(
                &hostname,
                &cpu,
                &memory,
                &scratch,
                &gpu,
                self.gpus.is_some(),
            ),
            pressure: pressure::read(root),
            cgroup_pressure: pressure::read_group(root, cgroup.as_ref()),
            io_uring: self.io_uring.clone(),
            nics: network::nics(root),
            rdma: network::rdma(root),
            hostname,
            kernel,
            cpu,
            memory,
            cgroup,
            scratch,
            gpu,
        }
    }
}
