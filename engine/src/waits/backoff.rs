//! The wait between two attempts.

use std::time::Duration;

use crate::clock::Chance;

/// Exponential backoff with jitter over the upper half: enough spread to keep
/// parts from coming back together, never less than half of the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest first wait.
    pub base: Duration,
    /// The longest wait of all, jitter included.
    pub cap: Duration,
}

impl Backoff {
    /// The wait after failed attempt `attempt`, counted from 1.
    pub fn wait(&self, attempt: u32, chance: &mut Chance) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        let full = self.base.saturating_mul(1 << doublings).min(self.cap);
        let half = full / 2;
        let spread = u64::try_from((full - half).as_micros()).unwrap_or(u64::MAX);
        half + Duration::from_micros(chance.up_to(spread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_cap_and_keeps_its_jitter_there() {
        let backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(10) };
        let mut chance = Chance::from_seed(1);
        let mut seen = std::collections::BTreeSet::new();
        for attempt in 1..200 {
            let wait = backoff.wait(attempt, &mut chance);
            assert!(wait <= backoff.cap);
            let full = 100_u64.saturating_mul(1 << (attempt - 1).min(20)).min(10_000);
            assert!(wait >= Duration::from_millis(full / 2), "attempt {attempt}: {wait:?}");
            if attempt > 10 {
                seen.insert(wait);
            }
        }
        assert!(seen.len() > 100, "no jitter at the cap");
    }
}
