//! What a comparison leaves behind, as JSON: every run, not medians.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::peer::Direction;
use crate::server::Kind;
use crate::workload::Workload;

const SCHEMA: u32 = 1;

/// A whole comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The form of this record.
    pub(crate) schema: u32,
    /// Where and when.
    pub(crate) environment: Environment,
    /// Size of the data sets, as a part of the full size.
    pub(crate) scale: f64,
    /// Runs of each peer that count.
    pub(crate) rounds: u32,
    /// Whether client and server had a CPU each.
    pub(crate) pinned: bool,
    /// What was compared.
    pub(crate) cases: Vec<Case>,
}

/// The machine and the programs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Environment {
    /// UTC, to the minute.
    pub(crate) date: String,
    /// Name and release.
    pub(crate) kernel: String,
    /// The processor's own name.
    pub(crate) cpu: String,
    /// How many of them.
    pub(crate) cpus: usize,
    /// Of the machine.
    pub(crate) memory_gib: f64,
    /// Load of the last minute before the start.
    pub(crate) load_before: f64,
    /// First line of each program's `--version`.
    pub(crate) versions: BTreeMap<String, String>,
}

/// One workload from or to one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    /// The server.
    pub(crate) server: Kind,
    /// Down or up.
    pub(crate) direction: Direction,
    /// The data set.
    pub(crate) workload: Workload,
    /// Where files are: tmpfs or disk.
    pub(crate) place: Place,
    /// Bytes of one run.
    pub(crate) bytes: u64,
    /// Files of one run.
    pub(crate) files: u64,
    /// Runs that were right.
    pub(crate) runs: Vec<Run>,
    /// Peers that are not compared, and why.
    pub(crate) left_out: Vec<LeftOut>,
}

/// Where a download goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Place {
    /// Memory
    Tmpfs,
    /// The file system of the working folder
    Disk,
}

/// One run of one peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Who.
    pub(crate) peer: String,
    /// From 1.
    pub(crate) round: u32,
    /// From start to end.
    pub(crate) wall_s: f64,
    /// Then `syncfs` of the destination.
    pub(crate) sync_s: f64,
    /// CPU of the peer's processes in user mode.
    pub(crate) user_s: f64,
    /// CPU of the peer's processes in the kernel.
    pub(crate) sys_s: f64,
    /// CPU of the server meanwhile.
    pub(crate) server_s: f64,
    /// CPU of the whole machine meanwhile.
    pub(crate) machine_s: f64,
    /// Peak of resident memory over the process tree.
    pub(crate) rss_kib: u64,
    /// The same with shared pages counted once; sampled more seldom.
    pub(crate) pss_kib: u64,
}

/// A peer that is not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    /// Who.
    pub(crate) peer: String,
    /// What kind of reason.
    pub(crate) why: Why,
    /// The reason.
    pub(crate) reason: String,
}

/// Kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Why {
    /// It cannot do this by its nature.
    Unable,
    /// It is not installed.
    Missing,
    /// It ended with an error, or not in time.
    Failed,
    /// It ended well, and the tree is another one.
    Wrong,
}

impl Record {
    /// An empty one.
    pub(crate) fn new(environment: Environment, scale: f64, rounds: u32, pinned: bool) -> Self {
        Self { schema: SCHEMA, environment, scale, rounds, pinned, cases: Vec::new() }
    }

    /// Takes the cases of another record over; a case that both have is the
    /// other's then. The environment stays this one's.
    pub(crate) fn add(&mut self, other: Self) -> Result<()> {
        let settings = |record: &Self| (record.scale.to_bits(), record.rounds, record.pinned);
        ensure!(settings(self) == settings(&other), "scale, rounds or pinning differ");
        let plan = |case: &Case| (case.server, case.direction, case.workload, case.place);
        self.cases.retain(|own| !other.cases.iter().any(|case| plan(case) == plan(own)));
        self.cases.extend(other.cases);
        Ok(())
    }

    /// Reads one.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let record: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is no record of a comparison", path.display()))?;
        ensure!(record.schema == SCHEMA, "{} is of another version", path.display());
        Ok(record)
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let draft = path.with_extension("draft");
        std::fs::write(&draft, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&draft, path).with_context(|| format!("write {}", path.display()))
    }
}
