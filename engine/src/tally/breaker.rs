//! Whether a store that nobody reaches is asked on.

use std::time::Instant;

use crate::error::ErrorKind;
use crate::waits::RetryPolicy;

/// Counts the objects of a job that ended `Unreachable`, each after its own
/// attempts, with no success in between. Once it opens it stays open: the job
/// ends, and says how to go on.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    lost: u32,
    since: Option<Instant>,
}

impl Breaker {
    /// An object made it, or failed for another reason: the store is there.
    pub(super) fn reached(&mut self) {
        *self = Self::default();
    }

    /// An object ended with an error of `kind` at `now`; true when the others
    /// need not be tried.
    pub(super) fn failed(&mut self, kind: ErrorKind, now: Instant, policy: &RetryPolicy) -> bool {
        if kind != ErrorKind::Unreachable {
            self.reached();
            return false;
        }
        let since = *self.since.get_or_insert(now);
        self.lost = self.lost.saturating_add(1);
        self.lost >= policy.lost_max && now.saturating_duration_since(since) >= policy.lost_for
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn opens_after_many_losses_over_a_while_and_not_before() {
        let (start, policy) = (Instant::now(), RetryPolicy::default());
        let second = Duration::from_secs(1);
        let mut breaker = Breaker::default();
        assert!(
            (0..100).all(|_| !breaker.failed(ErrorKind::Unreachable, start, &policy)),
            "a blink"
        );
        assert!(breaker.failed(ErrorKind::Unreachable, start + 20 * second, &policy));

        let mut breaker = Breaker::default();
        let opened = (0..)
            .find(|n| breaker.failed(ErrorKind::Unreachable, start + 2 * second * *n, &policy));
        assert_eq!(opened, Some(15));
    }

    #[test]
    fn any_sign_of_life_begins_anew() {
        let (start, policy) = (Instant::now(), RetryPolicy::default());
        let mut breaker = Breaker::default();
        for minute in 0..100 {
            let now = start + Duration::from_secs(60) * minute;
            assert!(!breaker.failed(ErrorKind::Unreachable, now, &policy));
            if minute % 10 == 9 {
                breaker.reached();
            }
            if minute % 10 == 4 {
                assert!(!breaker.failed(ErrorKind::NotFound, now, &policy));
            }
        }
    }
}
