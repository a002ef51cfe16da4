//! The page, rewritten between its markers; the rest of it stays.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::record::Record;
use crate::table;

const BEGIN: &str = "<!-- compare: begin -->";
const END: &str = "<!-- compare: end -->";

/// The flags of `report`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// What `compare` wrote; several are put together, where scale, rounds and
    /// pinning agree
    #[arg(long, default_value = "target/bench/record.json")]
    json: Vec<PathBuf>,
    /// The page whose tables are written anew
    #[arg(long, default_value = "docs/BENCHMARKS.md")]
    page: PathBuf,
}

/// Rewrites the page from a record.
pub(crate) fn main(flags: &Flags) -> Result<()> {
    let (first, more) = flags.json.split_first().context("no record is named")?;
    let mut record = Record::read(first)?;
    for path in more {
        record.add(Record::read(path)?).with_context(|| format!("add {}", path.display()))?;
    }
    rewrite(&record, &flags.page)
}

/// Puts the tables of `record` between the markers of `page`.
pub(crate) fn rewrite(record: &Record, page: &Path) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("read {}", page.display()))?;
    let text = between(&text, &table::page(record))
        .with_context(|| format!("{} lacks the lines {BEGIN} and {END}", page.display()))?;
    fs::write(page, text).with_context(|| format!("write {}", page.display()))
}

fn between(text: &str, tables: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{tables}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_changes() {
        let page = format!("# Title\n\n{BEGIN}\nold\n{END}\n\nmore\n");
        let found = between(&page, "new\n");
        assert_eq!(
            found.as_deref(),
            Some(&*format!("# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nmore\n"))
        );
        assert_eq!(found.and_then(|text| between(&text, "new\n")), between(&page, "new\n"));
        assert_eq!(between("no markers", "new"), None);
    }
}
