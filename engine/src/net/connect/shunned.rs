//! Addresses that took no connection lately, known to all threads.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Addresses remembered: four names' worth.
pub const SHUNNED_MAX: usize = 64;
/// Long enough to spare most connections the detour, short enough to find a
/// network that works again.
const SHUNNED_FOR: Duration = Duration::from_secs(60);

/// Addresses to try last. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct Shunned(Arc<Mutex<Vec<(SocketAddr, Instant)>>>);

impl Shunned {
    /// Remembers `addresses`; the oldest ones make room.
    pub fn add(&self, addresses: impl IntoIterator<Item = SocketAddr>, now: Instant) {
        let mut known = self.known(now);
        for address in addresses {
            known.retain(|(other, _)| *other != address);
            if known.len() == SHUNNED_MAX {
                known.remove(0);
            }
            known.push((address, now));
        }
    }

    /// Forgets `address`, which works.
    pub fn forgive(&self, address: SocketAddr, now: Instant) {
        self.known(now).retain(|(other, _)| *other != address);
    }

    /// Moves shunned addresses to the end; the rest keeps its order.
    pub fn last(&self, addresses: &mut [SocketAddr], now: Instant) {
        let known = self.known(now);
        addresses.sort_by_key(|address| known.iter().any(|(other, _)| other == address));
    }

    fn known(&self, now: Instant) -> MutexGuard<'_, Vec<(SocketAddr, Instant)>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, since)| now.saturating_duration_since(*since) < SHUNNED_FOR);
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shunned_addresses_come_last_for_a_minute() {
        let now = Instant::now();
        let address = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
        let shunned = Shunned::default();
        shunned.clone().add([address(1), address(2)], now);
        let order = |after: u64| {
            let mut all = [1, 2, 3].map(address);
            shunned.last(&mut all, now + Duration::from_secs(after));
            all.map(|address| address.port())
        };
        assert_eq!(order(59), [3, 1, 2]);
        shunned.forgive(address(2), now);
        assert_eq!(order(59), [2, 3, 1]);
        assert_eq!(order(60), [1, 2, 3]);
        shunned.add((0..100).map(|port| address(1_000 + port)), now);
        assert_eq!(shunned.known(now).len(), SHUNNED_MAX);
    }
}
