//! The smallest files first, in memory that does not grow with the tree.
//!
//! ```text
//!   walk ──► the 16,384 smallest above what went before ──► sorted, handed over
//!     ▲                                     │ four times
//!     └─────────────────────────────────────┘
//!   walk ──► everything above that, as it is found
//! ```
//!
//! A tree is walked once per round, which costs less than holding it. A file
//! that shrinks below a round that is over is missed: whoever wants each file
//! walks a tree at rest.

use std::collections::BinaryHeap;
use std::path::PathBuf;

use crate::error::Result;
use crate::upload::plan::Search;
use crate::upload::walk::{Found, Stamp};

/// Files that are held: about 5 MiB of names.
const HELD_MAX: usize = 16_384;
/// Rounds in exact order.
const ROUNDS_MAX: usize = 4;

/// Where a file stands in the order; a total one, since names differ.
type Rank = (u64, PathBuf);

/// Hands over what `search` finds; what cannot be read comes first.
pub(super) fn smallest_first(
    search: &Search<'_>,
    tell: &mut dyn FnMut(Found) -> bool,
) -> Result<()> {
    in_rounds(search, tell, HELD_MAX, ROUNDS_MAX)
}

fn in_rounds(
    search: &Search<'_>,
    tell: &mut dyn FnMut(Found) -> bool,
    held_max: usize,
    rounds_max: usize,
) -> Result<()> {
    let mut last: Option<Rank> = None;
    for round in 0..rounds_max {
        let mut held = Held { files: BinaryHeap::new(), max: held_max, is_all: true };
        search.each(&mut |found| match found {
            Found::File { path, below, stamp } => {
                held.offer(path, below, stamp, last.as_ref());
                true
            }
            failed => round > 0 || tell(failed),
        })?;
        let is_all = held.is_all;
        for Picked { rank: (_, path), below, stamp } in held.files.into_sorted_vec() {
            last = Some((stamp.bytes, path.clone()));
            if !tell(Found::File { path, below, stamp }) {
                return Ok(());
            }
        }
        if is_all {
            return Ok(());
        }
    }
    search.each(&mut |found| match &found {
        Found::File { path, stamp, .. } => {
            !is_above(stamp.bytes, path, last.as_ref()) || tell(found)
        }
        Found::Failed { .. } => true,
    })
}

struct Picked {
    rank: Rank,
    below: String,
    stamp: Stamp,
}

impl PartialEq for Picked {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Picked {}

impl PartialOrd for Picked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Picked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

/// The smallest of a round; the largest of them is on top.
struct Held {
    files: BinaryHeap<Picked>,
    max: usize,
    is_all: bool,
}

impl Held {
    fn offer(&mut self, path: PathBuf, below: String, stamp: Stamp, last: Option<&Rank>) {
        if !is_above(stamp.bytes, &path, last) {
            return;
        }
        self.files.push(Picked { rank: (stamp.bytes, path), below, stamp });
        if self.files.len() > self.max {
            self.files.pop();
            self.is_all = false;
        }
    }
}

fn is_above(bytes: u64, path: &std::path::Path, last: Option<&Rank>) -> bool {
    last.is_none_or(|(size, name)| (bytes, path) > (*size, name.as_path()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::PathBuf;

    use super::{Found, Search, in_rounds};
    use crate::job::Select;
    use crate::path::{Filter, Source};

    /// Sizes in the order in which they come.
    fn sizes(sizes: &[usize], held_max: usize, rounds_max: usize) -> Vec<u64> {
        let root = tempfile::TempDir::new().unwrap();
        for (number, size) in sizes.iter().enumerate() {
            let folder = root.path().join(format!("d{}", number % 3));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(number.to_string()), vec![0; *size]).unwrap();
        }
        let source = Source::parse(&format!("{}/*", root.path().display()));
        let filter = Filter::new(&Select::default()).unwrap();
        let search = Search { sources: &[source], filter: &filter, ledger: None };
        let (mut came, mut names) = (Vec::new(), Vec::<PathBuf>::new());
        let mut tell = |found| {
            let Found::File { path, stamp, .. } = found else { panic!("all can be read") };
            came.push(stamp.bytes);
            names.push(path);
            true
        };
        in_rounds(&search, &mut tell, held_max, rounds_max).unwrap();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), sizes.len(), "each comes once");
        came
    }

    #[test]
    fn small_files_come_first_in_as_many_rounds_as_it_takes() {
        let tree = [9, 3, 3, 7, 1, 0, 5, 5, 5, 2];
        let mut sorted: Vec<u64> = tree.iter().map(|size| *size as u64).collect();
        sorted.sort_unstable();
        for held_max in [1, 3, 4, 9, 10, 11] {
            assert_eq!(sizes(&tree, held_max, 100), sorted, "{held_max}");
        }
    }

    #[test]
    fn what_exceeds_the_rounds_comes_last_and_whole() {
        let tree = [9, 3, 8, 7, 1, 0, 5, 6, 4, 2];
        let came = sizes(&tree, 2, 2);
        assert_eq!((&came[..4], came.len()), (&[0, 1, 2, 3][..], 10));
    }
}
