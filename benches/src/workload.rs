//! What is moved: trees of files that a seed makes, so that every server has
//! the same bytes.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use clap::ValueEnum;
use osmo_tests::model_server::{Content, Dataset};
use osmo_tests::tree;
use serde::{Deserialize, Serialize};

/// Of all content.
pub(crate) const SEED: u64 = 1;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Kinds of data sets, by what makes them hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    /// One object of 4 GiB
    Large,
    /// 64 objects of 64 MiB
    Shards,
    /// 20,000 objects of 16 KiB
    Small,
    /// 5,000 objects of 20 to 200 KiB, 110 on average
    Images,
}

/// A part of the full size, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale(u64);

const FULL: u64 = 1_000_000;

impl Scale {
    /// So much of `count`, one at least.
    pub(crate) fn of(self, count: u64) -> u64 {
        (count * self.0 / FULL).max(1)
    }

    /// As a number.
    pub(crate) fn ratio(self) -> f64 {
        self.0 as f64 / FULL as f64
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / FULL, self.0 % FULL)
    }
}

impl FromStr for Scale {
    type Err = String;

    /// Reads a decimal number above 0, at most 8.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a scale is a number as 0.25, above 0 and at most 8".to_owned();
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let digits = format!("{part:0<6}");
        let part: u64 = digits.get(..6).and_then(|six| six.parse().ok()).ok_or_else(wrong)?;
        let scale = Self(whole.min(9) * FULL + part);
        if (1..=8 * FULL).contains(&scale.0) { Ok(scale) } else { Err(wrong()) }
    }
}

impl Workload {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Large, Self::Shards, Self::Small, Self::Images];

    /// The name of its prefix.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Large => "large",
            Self::Shards => "shards",
            Self::Small => "small",
            Self::Images => "images",
        }
    }

    /// Whether requests rather than bytes are what it costs.
    pub(crate) fn is_small(self) -> bool {
        matches!(self, Self::Small | Self::Images)
    }

    /// Its objects. The large one shrinks; of the others there are fewer.
    pub(crate) fn dataset(self, scale: Scale) -> Dataset {
        let name = self.name();
        match self {
            Self::Large => Dataset::new(name, 1, scale.of(4 * GIB)),
            Self::Shards => Dataset::new(name, scale.of(64), 64 * MIB),
            Self::Small => Dataset::new(name, scale.of(20_000), 16 * KIB),
            Self::Images => {
                Dataset { bytes_most: 200 * KIB, ..Dataset::new(name, scale.of(5_000), 20 * KIB) }
            }
        }
    }
}

/// A workload as a tree of files.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// What it is.
    pub(crate) workload: Workload,
    /// Its objects.
    pub(crate) set: Dataset,
    /// The folder that stands for its prefix.
    pub(crate) root: PathBuf,
    /// What `sha256sum` says of it.
    pub(crate) sums: String,
    /// All bytes.
    pub(crate) bytes: u64,
}

impl Source {
    /// Makes the tree below `folder`, unless it is there from another time.
    pub(crate) fn prepare(workload: Workload, scale: Scale, folder: &Path) -> Result<Self> {
        let set = workload.dataset(scale);
        let root = folder.join(&set.name);
        let made = folder.join(format!("{}.made", set.name));
        let wanted = format!("{set:?} from {SEED}\n");
        let there = fs::read_to_string(&made).unwrap_or_default();
        let sums = match there.strip_prefix(&wanted) {
            Some(sums) => sums.to_owned(),
            None => {
                write_tree(&set, &root).with_context(|| format!("write {}", root.display()))?;
                let sums = tree::sha256sums(&root)?;
                fs::write(&made, format!("{wanted}{sums}"))?;
                sums
            }
        };
        let bytes = set.bytes_total();
        Ok(Self { workload, set, root, sums, bytes })
    }

    /// The same without a tree, for a server that makes its bytes up.
    pub(crate) fn imagined(workload: Workload, scale: Scale) -> Self {
        let set = workload.dataset(scale);
        let bytes = set.bytes_total();
        Self { workload, set, root: PathBuf::new(), sums: String::new(), bytes }
    }
}

fn write_tree(set: &Dataset, root: &Path) -> Result<()> {
    if root.exists() {
        fs::remove_dir_all(root)?;
    }
    let content = Content::new(SEED);
    let mut window = content.window();
    for index in 0..set.count {
        let path = root.join(set.path(index));
        fs::create_dir_all(path.parent().context("a path without a folder")?)?;
        content.write(&mut window, set.id(index), set.bytes(index), &path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn scales_are_read() {
        let count = |text: &str| text.parse::<Scale>().unwrap().of(20_000);
        assert_eq!((count("1"), count("0.25"), count("0.0001")), (20_000, 5_000, 2));
        assert_eq!((count("2.5"), count("0.000001")), (50_000, 1));
        for wrong in ["", "0", "-1", "9", "x", "0.x", "1e3"] {
            assert!(wrong.parse::<Scale>().is_err(), "{wrong}");
        }
    }
}
