//! Rates, fed with time.

use std::time::Duration;

/// When bytes may go out on a connection or link of a fixed rate.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    bytes_per_s: u64,
    free_at: Duration,
}

impl Pace {
    /// A line that is free from the start.
    pub fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1), free_at: Duration::ZERO }
    }

    /// Takes the line for `bytes` from `now` on, and says when they are
    /// through. Idle time is not made up for.
    pub fn through_at(&mut self, bytes: usize, now: Duration) -> Duration {
        let taken = Duration::from_secs_f64(bytes as f64 / self.bytes_per_s as f64);
        self.free_at = self.free_at.max(now) + taken;
        self.free_at
    }
}

/// Requests that may pass: a token bucket that holds a tenth of a second's.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    per_s: f64,
    held: f64,
    at: Duration,
}

impl Allowance {
    /// A full bucket.
    pub fn new(per_s: u32) -> Self {
        let per_s = f64::from(per_s.max(1));
        Self { per_s, held: (per_s / 10.0).max(1.0), at: Duration::ZERO }
    }

    /// Whether one more may pass at `now`.
    pub fn admits(&mut self, now: Duration) -> bool {
        let gained = now.saturating_sub(self.at).as_secs_f64() * self.per_s;
        self.held = (self.held + gained).min((self.per_s / 10.0).max(1.0));
        self.at = self.at.max(now);
        let admitted = self.held >= 1.0;
        if admitted {
            self.held -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // By hand: 1 MiB at 1 MiB/s takes a second; after an idle second the next
    // one starts then, not earlier.
    #[test]
    fn a_line_carries_its_rate() {
        let mut pace = Pace::new(1 << 20);
        let second = Duration::from_secs(1);
        assert_eq!(pace.through_at(1 << 20, Duration::ZERO), second);
        assert_eq!(pace.through_at(1 << 19, Duration::ZERO), second * 3 / 2);
        assert_eq!(pace.through_at(1 << 20, second * 3), second * 4);
    }

    // By hand: 10,000 requests spread over ten seconds at 100 a second: 1,000,
    // and the ten that the bucket held at the start.
    #[test]
    fn a_flood_is_cut_to_the_rate() {
        let mut allowance = Allowance::new(100);
        let passed =
            (0..10_000).filter(|number| allowance.admits(Duration::from_millis(*number))).count();
        assert!((1008..=1010).contains(&passed), "{passed}");
    }

    #[test]
    fn below_the_rate_all_pass() {
        let mut allowance = Allowance::new(100);
        assert!((1..1000).all(|number| allowance.admits(Duration::from_millis(number * 11))));
    }
}
