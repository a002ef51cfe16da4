//! How fast a job may move bytes: one budget over all of its connections.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that may be taken at once; a slower rate is taken in smaller bites.
const BITE_BYTES_MIN: u64 = 4 << 10;
const BITE_BYTES_MAX: u64 = 64 << 10;
/// Bites a second, where the bounds above allow.
const BITES_PER_S: u64 = 8;
/// Time that was not used and may be made up for.
const BURST: Duration = Duration::from_millis(50);

/// A rate, and the instant up to which it is spent. Pure: fed with time.
#[derive(Clone, Debug)]
pub struct Pace {
    bytes_per_s: u64,
    free_at: Option<Instant>,
}

impl Pace {
    /// `bytes_per_s` bytes a second; 0 counts as 1.
    pub fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1), free_at: None }
    }

    /// Bytes to take at once, so that the flow is smooth.
    pub fn bite(&self) -> u64 {
        (self.bytes_per_s / BITES_PER_S).clamp(BITE_BYTES_MIN, BITE_BYTES_MAX)
    }

    /// Takes `bytes` out of the budget at `now`; they may move at the answer.
    pub fn take(&mut self, bytes: u64, now: Instant) -> Instant {
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let start = self.free_at.map_or(now, |free| free.max(earliest));
        // A time beyond the clock's range is never reached either way.
        self.free_at = Some(start.checked_add(self.time(bytes)).unwrap_or(start));
        start.max(now)
    }

    /// Gives back `bytes` that were taken and did not move.
    pub fn give_back(&mut self, bytes: u64) {
        self.free_at = self.free_at.map(|free| free.checked_sub(self.time(bytes)).unwrap_or(free));
    }

    fn time(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_s);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A [`Pace`] that a job's shards share.
#[derive(Debug)]
pub struct SharedPace {
    pace: Mutex<Pace>,
    bite: u64,
}

impl SharedPace {
    /// `bytes_per_s` bytes a second over everybody who holds it.
    pub fn new(bytes_per_s: u64) -> Self {
        let pace = Pace::new(bytes_per_s);
        Self { bite: pace.bite(), pace: Mutex::new(pace) }
    }

    /// As [`Pace::bite`].
    pub fn bite(&self) -> u64 {
        self.bite
    }

    /// As [`Pace::take`].
    pub fn take(&self, bytes: u64, now: Instant) -> Instant {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).take(bytes, now)
    }

    /// As [`Pace::give_back`].
    pub fn give_back(&self, bytes: u64) {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).give_back(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_as_many_bytes_as_the_rate_says() {
        let start = Instant::now();
        let mut pace = Pace::new(1_000_000);
        let mut now = start;
        for _ in 0..100 {
            now = pace.take(10_000, now);
        }
        // 100 bites of 10 ms each; the first one starts at once.
        assert_eq!(now.duration_since(start), Duration::from_millis(990));
    }

    #[test]
    fn two_who_take_at_once_share_the_rate_and_what_did_not_move_is_given_back() {
        let now = Instant::now();
        let mut pace = Pace::new(1_000);
        assert_eq!(pace.take(1_000, now), now);
        assert_eq!(pace.take(500, now), now + Duration::from_secs(1));
        pace.give_back(250);
        assert_eq!(pace.take(1, now), now + Duration::from_millis(1_250));
    }

    #[test]
    fn idle_time_is_no_savings() {
        let start = Instant::now();
        let mut pace = Pace::new(1_000);
        pace.take(1_000, start);
        let later = start + Duration::from_secs(3_600);
        assert_eq!(pace.take(1_000, later), later);
        assert_eq!(pace.take(1, later), later + Duration::from_millis(950));
    }

    #[test]
    fn bites_are_small_where_the_rate_is() {
        for (rate, bite) in [(1, 4_096), (80_000, 10_000), (10 << 20, 65_536)] {
            assert_eq!(Pace::new(rate).bite(), bite);
        }
    }
}
