//! Time that somebody waited for a resource (PSI): on the node, and in this
//! control group.

use serde::Serialize;

use super::cgroup::Cgroup;
use crate::node::root::Root;

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Pressure {
    /// `cgroup`, `node`, or absent where the kernel does not measure it.
    pub(crate) of: Option<&'static str>,
    pub(crate) cpu: Option<Psi>,
    pub(crate) memory: Option<Psi>,
    pub(crate) io: Option<Psi>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Psi {
    /// Somebody waited, share of the last ten seconds.
    pub(crate) some_percent_10s: f64,
    /// Ever.
    pub(crate) some_seconds_total: f64,
    /// Everybody waited, share of the last ten seconds.
    pub(crate) full_percent_10s: Option<f64>,
    /// Ever.
    pub(crate) full_seconds_total: Option<f64>,
}

/// The node's.
pub(crate) fn read(root: &Root) -> Pressure {
    of(root, "node", |name| format!("/proc/pressure/{name}"))
}

/// The group's: version 1 measures none.
pub(crate) fn read_group(root: &Root, cgroup: Option<&Cgroup>) -> Pressure {
    let group = cgroup.filter(|group| group.version == 2);
    group.map_or_else(Pressure::default, |group| {
        of(root, "cgroup", |name| format!("{}/{name}.pressure", group.folder))
    })
}

fn of(root: &Root, whose: &'static str, path: impl Fn(&str) -> String) -> Pressure {
    let one = |name: &str| psi(&root.text(&path(name))?);
    let (cpu, memory, io) = (one("cpu"), one("memory"), one("io"));
    Pressure { of: cpu.or(memory).or(io).map(|_| whose), cpu, memory, io }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`
fn psi(text: &str) -> Option<Psi> {
    let line = |kind: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(kind))?;
        let value = |name: &str| -> Option<f64> {
            rest.split_whitespace().find_map(|word| word.strip_prefix(name))?.parse().ok()
        };
        Some((value("avg10=")?, value("total=")? / 1e6))
    };
    let (some_percent_10s, some_seconds_total) = line("some ")?;
    let full = line("full ");
    Some(Psi {
        some_percent_10s,
        some_seconds_total,
        full_percent_10s: full.map(|(percent, _)| percent),
        full_seconds_total: full.map(|(_, seconds)| seconds),
    })
}

#[cfg(test)]
mod tests {
    use super::{Psi, psi};

    #[test]
    fn both_lines_are_read_and_the_second_may_lack() {
        let some = "some avg10=1.25 avg60=0.5 avg300=0.1 total=2500000";
        let read = psi(some);
        let wanted = Psi { some_percent_10s: 1.25, some_seconds_total: 2.5, ..Psi::default() };
        assert_eq!(read, Some(wanted));
        let both = psi(&format!("{some}\nfull avg10=0.75 avg60=0 avg300=0 total=1000000"));
        assert_eq!(both.and_then(|psi| psi.full_seconds_total), Some(1.0));
        assert_eq!(psi("nonsense"), None);
    }
}
