//! The node's memory.

use serde::Serialize;

use crate::node::root::Root;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) total_bytes: Option<u64>,
    /// What can be had without swapping.
    pub(crate) available_bytes: Option<u64>,
    pub(crate) page_cache_bytes: Option<u64>,
    pub(crate) swap_total_bytes: Option<u64>,
    pub(crate) hugepages_total: Option<u64>,
    pub(crate) hugepages_free: Option<u64>,
    pub(crate) hugepage_bytes: Option<u64>,
}

pub(crate) fn read(root: &Root) -> Memory {
    let text = root.text("/proc/meminfo").unwrap_or_default();
    let number = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let bytes = |name: &str| number(name)?.checked_mul(1024);
    Memory {
        total_bytes: bytes("MemTotal"),
        available_bytes: bytes("MemAvailable"),
        page_cache_bytes: bytes("Cached"),
        swap_total_bytes: bytes("SwapTotal"),
        hugepages_total: number("HugePages_Total"),
        hugepages_free: number("HugePages_Free"),
        hugepage_bytes: bytes("Hugepagesize"),
    }
}
