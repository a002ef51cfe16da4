//! The page, rewritten between its markers; the rest of it stays.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::record::Record;
use crate::table;

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
    replace(page, "compare", &table::page(record))
}

/// Puts `tables` between the markers `name` of `page`.
pub(crate) fn replace(page: &Path, name: &str, tables: &str) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("read {}", page.display()))?;
    let text = between(&text, name, tables)
        .with_context(|| format!("{} lacks the markers {:?}", page.display(), markers(name)))?;
    fs::write(page, text).with_context(|| format!("write {}", page.display()))
}

fn markers(name: &str) -> [String; 2] {
    ["begin", "end"].map(|edge| format!("<!-- {name}: {edge} -->"))
}

fn between(text: &str, name: &str, tables: &str) -> Option<String> {
    let [begin, end] = markers(name);
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n\n{tables}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_changes() {
        let page = "# Title\n\n<!-- a: begin -->\nold\n<!-- a: end -->\n\nmore\n";
        let found = between(page, "a", "new\n");
        let wanted = "# Title\n\n<!-- a: begin -->\n\nnew\n\n<!-- a: end -->\n\nmore\n";
        assert_eq!(found.as_deref(), Some(wanted));
        assert_eq!(between(wanted, "a", "new\n").as_deref(), Some(wanted));
        assert_eq!(between(page, "b", "new"), None);
    }
}
