//! Which address first.

use std::net::{IpAddr, SocketAddr};

/// Addresses tried for one connection.
pub const TRIES_MAX: usize = 8;

/// The addresses in the order of RFC 8305, section 4: families in turns, IPv6
/// first; each family begins with another address every `turn`.
pub fn order(addresses: &[IpAddr], port: u16, turn: usize) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(IpAddr::is_ipv6);
    let rotated = |family: Vec<IpAddr>| {
        let first = turn.checked_rem(family.len()).unwrap_or(0);
        let whole = family.len();
        family.into_iter().cycle().skip(first).take(whole).collect::<Vec<_>>().into_iter()
    };
    let (mut v6, mut v4) = (rotated(v6), rotated(v4));
    let mut all = Vec::with_capacity(addresses.len());
    while v6.len() + v4.len() > 0 {
        all.extend(v6.next().into_iter().chain(v4.next()));
    }
    all.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_each_rotates() {
        let ips = |list: &[&str]| -> Vec<IpAddr> {
            list.iter().filter_map(|ip| ip.parse().ok()).collect()
        };
        let all = ips(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"]);
        let turn = |turn| order(&all, 80, turn).iter().map(SocketAddr::ip).collect::<Vec<_>>();
        let first = ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"];
        assert_eq!(turn(0), ips(&first));
        let second = ["2001:db8::2", "192.0.2.2", "2001:db8::1", "192.0.2.3", "192.0.2.1"];
        assert_eq!(turn(1), ips(&second));
        assert_eq!(turn(6), turn(0));
        assert!(order(&[], 80, 3).is_empty());
    }
}
