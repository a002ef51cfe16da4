//! Every metric there is: name, shape, unit, labels, stability. `docs/METRICS.md`
//! is made from it. A stable name keeps its meaning until the next major version.

use std::time::Duration;

use osmo_protocol::events::Phase;
use osmo_protocol::exposition::Shape;

use super::View;
use super::process::Process;
use super::samples::Samples;
use crate::gpu::GpuNow;
use crate::meters::{Backend, Direction, Kind, Label as _, Meters, RetryReason};
use crate::service::outbox::Backlog;
use crate::usage;

/// What a name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stability {
    Stable,
    /// May change with any version.
    Trial,
}

/// One metric.
#[cfg_attr(not(test), allow(dead_code, reason = "the page is made from all of it"))]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// `none`, `bytes`, `seconds` or a plural that says what is counted.
    pub(super) unit: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) stability: Stability,
    pub(super) about: &'static str,
    pub(super) read: fn(&Reading, &mut Samples<'_>),
}

/// One look at everything.
pub(super) struct Reading {
    meters: Meters,
    backlog: Backlog,
    process: Process,
}

impl Reading {
    pub(super) fn take(view: &View) -> Self {
        let (meters, backlog) = (view.meters.clone(), view.outbox.backlog());
        Self { meters, backlog, process: Process::look() }
    }

    /// One value of each GPU that tells it.
    fn gpus(&self, of: fn(&GpuNow) -> Option<f64>, to: &mut Samples<'_>) {
        self.meters.with_gpus(|seen| {
            for gpu in seen.now() {
                if let Some(value) = of(gpu) {
                    to.put(&[&gpu.index.to_string()], value);
                }
            }
        });
    }

    /// Everything that moved, as (labels, (bytes, objects)); what never moved is
    /// left out.
    fn moved(&self, mut each: impl FnMut(&[&str], (u64, u64))) {
        for way in Direction::ALL {
            for backend in Backend::ALL {
                for phase in Phase::ALL {
                    let moved = self.meters.moved(way, backend, phase);
                    if moved != (0, 0) {
                        each(&[way.name(), backend.name(), phase.name()], moved);
                    }
                }
            }
        }
    }
}

use Shape::{Counter, Gauge};
use Stability::{Stable, Trial};

const GPU: &[&str] = &["gpu"];
const MOVED: &[&str] = &["direction", "backend", "phase"];

#[rustfmt::skip]
pub(super) const TABLE: [Metric; 28] = [
    Metric { name: "osmo_build_info", shape: Gauge, unit: "none", labels: &["version"], stability: Stable,
        about: "Always 1; the label says what runs.",
        read: |_, to| to.count(&[env!("CARGO_PKG_VERSION")], 1) },
    Metric { name: "osmo_phase_info", shape: Gauge, unit: "none", labels: &["phase"], stability: Stable,
        about: "1 for the phase that the task is in, 0 for the others.",
        read: |from, to| each_phase(|phase, name| to.count(&[name], (phase == from.meters.phase()).into())) },
    Metric { name: "osmo_phase_seconds", shape: Gauge, unit: "seconds", labels: &["phase"], stability: Stable,
        about: "Time spent in each phase so far.",
        read: |from, to| each_phase(|phase, name| to.put(&[name], seconds(from.meters.phase_time(phase)))) },
    Metric { name: "osmo_driver_beat_age_seconds", shape: Gauge, unit: "seconds", labels: &[], stability: Trial,
        about: "Since the driver last showed that it is alive.",
        read: |from, to| to.put(&[], seconds(from.meters.beat_age())) },
    Metric { name: "osmo_transfer_bytes_total", shape: Counter, unit: "bytes", labels: MOVED, stability: Stable,
        about: "Payload that reached its end: the disk on the way in, the store on the way out.",
        read: |from, to| from.moved(|labels, (bytes, _)| to.count(labels, bytes)) },
    Metric { name: "osmo_transfer_objects_total", shape: Counter, unit: "objects", labels: MOVED, stability: Stable,
        about: "Objects and files that are in place.",
        read: |from, to| from.moved(|labels, (_, objects)| to.count(labels, objects)) },
    Metric { name: "osmo_transfer_retries_total", shape: Counter, unit: "attempts", labels: &["reason"], stability: Stable,
        about: "Attempts that failed and were repeated.",
        read: |from, to| for reason in RetryReason::ALL { to.count(&[reason.name()], from.meters.retries(reason)); } },
    Metric { name: "osmo_transfers", shape: Gauge, unit: "transfers", labels: &[], stability: Stable,
        about: "Inputs and outputs that are under way.",
        read: |from, to| to.count(&[], from.meters.transfers()) },
    Metric { name: "osmo_io_engine_info", shape: Gauge, unit: "none", labels: &["engine", "reason"], stability: Stable,
        about: "1 for the I/O driver in use and why it was chosen; absent before the first transfer.",
        read: |from, to| if let Some((engine, reason)) = from.meters.io_engine_chosen() { to.count(&[engine, &reason], 1) } },
    Metric { name: "osmo_sessions", shape: Gauge, unit: "sessions", labels: &["kind"], stability: Stable,
        about: "Sessions that are open.",
        read: |from, to| for kind in Kind::ALL { to.count(&[kind.name()], from.meters.sessions(kind).0); } },
    Metric { name: "osmo_sessions_total", shape: Counter, unit: "sessions", labels: &["kind"], stability: Stable,
        about: "Sessions that were begun.",
        read: |from, to| for kind in Kind::ALL { to.count(&[kind.name()], from.meters.sessions(kind).1); } },
    Metric { name: "osmo_session_connections", shape: Gauge, unit: "connections", labels: &["kind"], stability: Stable,
        about: "Connections of sessions that are open or being dialled; of UDP ports, sources.",
        read: |from, to| for kind in Kind::WITH_CONNECTIONS { to.count(&[kind.name()], from.meters.connections(kind).0); } },
    Metric { name: "osmo_session_connections_total", shape: Counter, unit: "connections", labels: &["kind"], stability: Stable,
        about: "Connections of sessions that were begun; of UDP ports, sources.",
        read: |from, to| for kind in Kind::WITH_CONNECTIONS { to.count(&[kind.name()], from.meters.connections(kind).1); } },
    Metric { name: "osmo_session_bytes_total", shape: Counter, unit: "bytes", labels: &["kind", "direction"], stability: Stable,
        about: "Payload that sessions carried, into the pod and out of it.",
        read: |from, to| for kind in Kind::ALL { for way in Direction::ALL {
            to.count(&[kind.name(), way.name()], from.meters.session_bytes(kind, way)); } } },
    Metric { name: "osmo_link_up", shape: Gauge, unit: "none", labels: &[], stability: Stable,
        about: "1 while the connection to the service is open.",
        read: |from, to| to.count(&[], from.meters.link_is_up().into()) },
    Metric { name: "osmo_link_reconnects_total", shape: Counter, unit: "connections", labels: &[], stability: Stable,
        about: "Connections to the service after the first.",
        read: |from, to| to.count(&[], from.meters.link_reconnects()) },
    Metric { name: "osmo_outbox_lines", shape: Gauge, unit: "lines", labels: &[], stability: Stable,
        about: "Lines that the service has yet to acknowledge.",
        read: |from, to| to.count(&[], from.backlog.lines) },
    Metric { name: "osmo_outbox_bytes", shape: Gauge, unit: "bytes", labels: &[], stability: Stable,
        about: "Bytes of those lines as they are sent.",
        read: |from, to| to.count(&[], from.backlog.bytes) },
    Metric { name: "osmo_outbox_dropped_total", shape: Counter, unit: "lines", labels: &[], stability: Stable,
        about: "Lines lost because the service took none for too long.",
        read: |from, to| to.count(&[], from.backlog.dropped) },
    Metric { name: "osmo_gpu_memory_used_bytes", shape: Gauge, unit: "bytes", labels: GPU, stability: Trial,
        about: "Memory in use on a GPU beside the task, every 10 s while its command runs; absent without a GPU.",
        read: |from, to| from.gpus(|gpu| gpu.memory_used_bytes.map(exact), to) },
    Metric { name: "osmo_gpu_memory_total_bytes", shape: Gauge, unit: "bytes", labels: GPU, stability: Trial,
        about: "Memory of that GPU.",
        read: |from, to| from.gpus(|gpu| gpu.memory_total_bytes.map(exact), to) },
    Metric { name: "osmo_gpu_utilization_ratio", shape: Gauge, unit: "none", labels: GPU, stability: Trial,
        about: "Share of the last moment in which a kernel ran on that GPU.",
        read: |from, to| from.gpus(|gpu| gpu.utilization, to) },
    Metric { name: "process_cpu_seconds_total", shape: Counter, unit: "seconds", labels: &[], stability: Stable,
        about: "User and system CPU time of the sidecar.",
        read: |_, to| to.put(&[], usage::cpu_s()) },
    Metric { name: "process_resident_memory_bytes", shape: Gauge, unit: "bytes", labels: &[], stability: Stable,
        about: "Resident set of the sidecar.",
        read: |from, to| to.count(&[], from.process.resident) },
    Metric { name: "process_virtual_memory_bytes", shape: Gauge, unit: "bytes", labels: &[], stability: Stable,
        about: "Address space of the sidecar.",
        read: |from, to| to.count(&[], from.process.address_space) },
    Metric { name: "process_open_fds", shape: Gauge, unit: "descriptors", labels: &[], stability: Stable,
        about: "Open file descriptors of the sidecar.",
        read: |from, to| to.count(&[], from.process.open_files) },
    Metric { name: "process_threads", shape: Gauge, unit: "threads", labels: &[], stability: Stable,
        about: "Threads of the sidecar.",
        read: |from, to| to.count(&[], from.process.threads) },
    Metric { name: "process_start_time_seconds", shape: Gauge, unit: "seconds", labels: &[], stability: Stable,
        about: "When the sidecar was started, after 1970.",
        read: |from, to| to.put(&[], from.process.start) },
];

fn each_phase(mut each: impl FnMut(Phase, &str)) {
    Phase::ALL.into_iter().for_each(|phase| each(phase, phase.name()));
}

// Bytes of a GPU fit well below 2^53.
#[allow(clippy::cast_precision_loss)]
fn exact(bytes: u64) -> f64 {
    bytes as f64
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
