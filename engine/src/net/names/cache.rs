//! What was answered, for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names remembered; a job asks for one, or one per bucket.
pub(super) const NAMES_MAX: usize = 64;
/// A TTL of zero would mean a query per connection.
const TTL_MIN: Duration = Duration::from_secs(1);
/// S3 rotates its addresses every few seconds, load balancers every minute.
const TTL_MAX: Duration = Duration::from_secs(30);
/// How long an expired answer serves while nobody can be asked.
const STALE_MAX: Duration = Duration::from_secs(3_600);

#[derive(Default)]
pub(super) struct Cache {
    known: HashMap<String, Known>,
}

struct Known {
    addresses: Arc<[IpAddr]>,
    until: Instant,
}

impl Cache {
    pub(super) fn fresh(&self, host: &str, now: Instant) -> Option<Arc<[IpAddr]>> {
        let known = self.known.get(host).filter(|known| now < known.until)?;
        Some(Arc::clone(&known.addresses))
    }

    pub(super) fn stale(&self, host: &str, now: Instant) -> Option<Arc<[IpAddr]>> {
        let known = self.known.get(host)?;
        let age = now.saturating_duration_since(known.until);
        (age < STALE_MAX).then(|| Arc::clone(&known.addresses))
    }

    pub(super) fn doubt(&mut self, host: &str, now: Instant) {
        if let Some(known) = self.known.get_mut(host) {
            known.until = known.until.min(now);
        }
    }

    pub(super) fn keep(
        &mut self,
        host: &str,
        addresses: Arc<[IpAddr]>,
        until: Instant,
        now: Instant,
    ) {
        if self.known.len() >= NAMES_MAX && !self.known.contains_key(host) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.until);
            if let Some(oldest) = oldest.map(|(host, _)| host.clone()) {
                self.known.remove(&oldest);
            }
        }
        let until = now + until.saturating_duration_since(now).clamp(TTL_MIN, TTL_MAX);
        self.known.insert(host.to_owned(), Known { addresses, until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_expire_within_bounds_and_serve_an_hour_longer() {
        let now = Instant::now();
        let after = |seconds: u64| now + Duration::from_secs(seconds);
        let one: Arc<[IpAddr]> = [IpAddr::from([192, 0, 2, 1])].into();
        let mut cache = Cache::default();
        cache.keep("zero", Arc::clone(&one), now, now);
        cache.keep("week", Arc::clone(&one), after(604_800), now);
        cache.keep("nine", Arc::clone(&one), after(9), now);
        assert!(cache.fresh("zero", now).is_some());
        assert!(cache.fresh("zero", after(1)).is_none());
        assert!(cache.fresh("nine", after(8)).is_some());
        assert!(cache.fresh("nine", after(9)).is_none());
        assert!(cache.fresh("week", after(29)).is_some());
        assert!(cache.fresh("week", after(30)).is_none());
        assert!(cache.stale("week", after(3_629)).is_some());
        assert!(cache.stale("week", after(3_630)).is_none());
    }

    #[test]
    fn the_oldest_leaves_first() {
        let now = Instant::now();
        let one: Arc<[IpAddr]> = [IpAddr::from([192, 0, 2, 1])].into();
        let mut cache = Cache::default();
        for number in 0..=NAMES_MAX as u64 {
            let at = now + Duration::from_millis(number);
            cache.keep(&number.to_string(), Arc::clone(&one), at, at);
        }
        assert_eq!(cache.known.len(), NAMES_MAX);
        assert!(!cache.known.contains_key("0") && cache.known.contains_key("64"));
    }
}
