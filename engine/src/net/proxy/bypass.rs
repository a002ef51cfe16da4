//! `NO_PROXY`: what is reached directly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::names::is_localhost;

/// Entries read of the list.
const ENTRIES_MAX: usize = 1_024;

/// The list, and what is never proxied.
#[derive(Debug, Default)]
pub(super) struct Bypass {
    all: bool,
    entries: Vec<(Entry, Option<u16>)>,
}

#[derive(Debug)]
enum Entry {
    /// The name itself and everything below it.
    Name(String),
    /// A network; a single address is one of full length.
    Network(IpAddr, u8),
}

impl Bypass {
    /// Reads the list; entries are separated by commas or white space.
    pub(super) fn parse(list: &str) -> Self {
        let words = list.split(|c: char| c == ',' || c.is_whitespace()).filter(|w| !w.is_empty());
        let mut bypass = Self::default();
        for word in words.take(ENTRIES_MAX) {
            match word {
                "*" => bypass.all = true,
                word => bypass.entries.extend(entry(word)),
            }
        }
        bypass
    }

    /// Whether `host` is reached directly.
    pub(super) fn covers(&self, host: &str, port: u16) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        if self.all || is_localhost(&host) || address.is_some_and(is_own) {
            return true;
        }
        self.entries.iter().any(|(entry, only)| {
            only.is_none_or(|only| only == port)
                && match (entry, address) {
                    (Entry::Network(network, bits), Some(address)) => {
                        within(address, *network, *bits)
                    }
                    (Entry::Name(name), None) => {
                        let below = host.strip_suffix(name.as_str());
                        below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
                    }
                    _ => false,
                }
        })
    }
}

fn entry(word: &str) -> Option<(Entry, Option<u16>)> {
    if let Some((network, bits)) = word.split_once('/') {
        let network = bare(network).parse::<IpAddr>().ok()?;
        let whole = if network.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse::<u8>().ok().filter(|bits| *bits <= whole)?;
        return Some((Entry::Network(network, bits), None));
    }
    let (host, port) = match word.rsplit_once(':') {
        // A colon more is an address's.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, Some(port.parse().ok()?))
        }
        _ => (word, None),
    };
    if let Ok(address) = bare(host).parse::<IpAddr>() {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        return Some((Entry::Network(address, bits), port));
    }
    let name = host.strip_prefix('*').unwrap_or(host);
    let name = name.trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
    (!name.is_empty()).then_some((Entry::Name(name), port))
}

fn bare(address: &str) -> &str {
    address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address)
}

/// This machine, and what only its own network segment can mean.
fn is_own(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        // fd00:ec2::/32 is where EC2 and EKS keep their metadata services.
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unicast_link_local()
                || address.segments()[..2] == [0xfd00, 0x0ec2]
        }
    }
}

fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            masked4(address, mask) == masked4(network, mask)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            masked6(address, mask) == masked6(network, mask)
        }
        _ => false,
    }
}

fn masked4(address: Ipv4Addr, mask: u32) -> u32 {
    u32::from(address) & mask
}

fn masked6(address: Ipv6Addr, mask: u128) -> u128 {
    u128::from(address) & mask
}
