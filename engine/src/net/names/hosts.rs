//! The hosts file, as hosts(5) describes it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::ADDRESSES_MAX;

/// Names of a hosts file are remembered up to this many.
const NAMES_MAX: usize = 65_536;

/// Names with fixed addresses.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    by_name: HashMap<String, Arc<[IpAddr]>>,
}

impl Hosts {
    /// Reads lines of `address name…`; others are passed over.
    pub fn parse(text: &str) -> Self {
        let mut by_name: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
                continue;
            };
            for name in words {
                if by_name.len() == NAMES_MAX && !by_name.contains_key(name) {
                    continue;
                }
                let known = by_name.entry(name.to_ascii_lowercase()).or_default();
                if known.len() < ADDRESSES_MAX && !known.contains(&address) {
                    known.push(address);
                }
            }
        }
        Self { by_name: by_name.into_iter().map(|(name, all)| (name, all.into())).collect() }
    }

    /// The addresses of a name in lower case.
    pub(super) fn addresses(&self, name: &str) -> Option<Arc<[IpAddr]>> {
        self.by_name.get(name.strip_suffix('.').unwrap_or(name)).cloned()
    }
}
