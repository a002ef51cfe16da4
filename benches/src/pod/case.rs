//! What is measured, and the record of it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::record::Environment;

const SCHEMA: u32 = 1;

/// A part of a pod's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Case {
    /// Keys typed into a terminal until their echo is there
    Terminal,
    /// Bytes and connections through `osmo port-forward`
    Forward,
    /// `osmo rsync` beside the same rsync on loopback
    Files,
    /// The command's lines until the service has them
    Lines,
    /// A pod whose command sleeps
    Idle,
    /// Inputs, lines, sessions and outputs of one pod
    Life,
    /// The init container
    Init,
}

/// One figure of each round, and what it should be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measure {
    pub(crate) what: String,
    pub(crate) unit: String,
    pub(crate) values: Vec<f64>,
    pub(crate) bar: Option<Bar>,
}

/// What a median should keep to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

impl Bar {
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

impl Measure {
    pub(crate) fn new(what: &str, unit: &str, values: Vec<f64>) -> Self {
        Self { what: what.to_owned(), unit: unit.to_owned(), values, bar: None }
    }

    pub(crate) fn one(what: &str, unit: &str, value: f64) -> Self {
        Self::new(what, unit, vec![value])
    }

    /// `ours` over `bare`, round by round.
    pub(crate) fn ratio(what: &str, ours: &[f64], bare: &[f64]) -> Self {
        let values = ours.iter().zip(bare).map(|(ours, bare)| ours / bare).collect();
        Self::new(what, "×", values)
    }

    pub(crate) fn bar(mut self, bar: Bar) -> Self {
        self.bar = Some(bar);
        self
    }
}

/// All cases that were run, each at its last time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    schema: u32,
    pub(crate) environment: Environment,
    pub(crate) rounds: u32,
    pub(crate) scale: f64,
    pub(crate) cases: BTreeMap<Case, Vec<Measure>>,
}

impl Record {
    /// The one at `path` where it was made with the same settings, else an empty
    /// one.
    pub(crate) fn load(path: &Path, environment: Environment, rounds: u32, scale: f64) -> Self {
        let before = std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let same = |one: &Self| {
            (one.schema, one.rounds, one.scale.to_bits()) == (SCHEMA, rounds, scale.to_bits())
        };
        let cases = before.filter(same).map(|record| record.cases).unwrap_or_default();
        Self { schema: SCHEMA, environment, rounds, scale, cases }
    }

    pub(crate) fn put(&mut self, case: Case, measures: Vec<Measure>) {
        self.cases.insert(case, measures);
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let folder = path.parent().context("the record needs a folder")?;
        std::fs::create_dir_all(folder)?;
        let draft = path.with_extension("draft");
        std::fs::write(&draft, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&draft, path).with_context(|| format!("write {}", path.display()))
    }
}
