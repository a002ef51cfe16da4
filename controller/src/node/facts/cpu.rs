//! Processors and their NUMA nodes.

use serde::Serialize;

use crate::node::root::Root;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cpu {
    pub(crate) model: Option<String>,
    /// Logical CPUs online.
    pub(crate) online: u32,
    pub(crate) numa_nodes: Vec<NumaNode>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct NumaNode {
    pub(crate) node: u32,
    /// `0-31,64-95`; empty for a node of memory alone, such as a GPU's.
    pub(crate) cpus: String,
    pub(crate) memory_total_bytes: Option<u64>,
    pub(crate) memory_free_bytes: Option<u64>,
}

const KIB: u64 = 1024;

pub(crate) fn read(root: &Root) -> Cpu {
    let online = root.text("/sys/devices/system/cpu/online").as_deref().map_or(0, count);
    Cpu { model: model(root), online, numa_nodes: nodes(root) }
}

fn model(root: &Root) -> Option<String> {
    let text = root.text("/proc/cpuinfo")?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn nodes(root: &Root) -> Vec<NumaNode> {
    const FOLDER: &str = "/sys/devices/system/node";
    let mut nodes: Vec<NumaNode> = root
        .names(FOLDER)
        .iter()
        .filter_map(|name| name.strip_prefix("node")?.parse().ok())
        .map(|node: u32| {
            let folder = format!("{FOLDER}/node{node}");
            let memory = root.text(&format!("{folder}/meminfo")).unwrap_or_default();
            NumaNode {
                node,
                cpus: root.text(&format!("{folder}/cpulist")).unwrap_or_default(),
                memory_total_bytes: kib(&memory, "MemTotal:"),
                memory_free_bytes: kib(&memory, "MemFree:"),
            }
        })
        .collect();
    nodes.sort_by_key(|node| node.node);
    nodes
}

/// `Node 0 MemTotal: 24576000 kB`
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains(name))?;
    let number = line.split_once(name)?.1.split_whitespace().next()?;
    number.parse::<u64>().ok()?.checked_mul(KIB)
}

/// CPUs in a list such as `0-31,64-95`.
pub(crate) fn count(list: &str) -> u32 {
    list.split(',')
        .filter_map(|range| match range.trim().split_once('-') {
            Some((first, last)) => {
                let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
                last.checked_sub(first)?.checked_add(1)
            }
            None => range.trim().parse::<u32>().ok().map(|_| 1),
        })
        .fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn lists_of_cpus_are_counted() {
        for (list, cpus) in [("0-31,64-95", 64), ("0", 1), ("", 0), ("0,2-3", 3), ("9-1", 0)] {
            assert_eq!(count(list), cpus, "{list:?}");
        }
        assert_eq!(count("0-4294967295"), 0);
    }
}
