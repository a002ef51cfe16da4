//! Whether there is another attempt, and when.

use std::time::Duration;

use crate::clock::Chance;
use crate::error::{Error, RetryClass};
use crate::waits::RetryPolicy;

/// One part's attempts.
#[derive(Debug)]
pub struct Retry {
    policy: RetryPolicy,
    barren: u32,
    total: u32,
    corrupt: u32,
    refused: u32,
}

impl Retry {
    /// No attempt has failed yet.
    pub fn new(policy: RetryPolicy) -> Self {
        Self { policy, barren: 0, total: 0, corrupt: 0, refused: 0 }
    }

    /// Attempts that have failed.
    pub fn failed(&self) -> u32 {
        self.total
    }

    /// Takes note of a failed attempt of `class` and says how long to wait
    /// before the next one; `None` gives up. An attempt that `progressed`
    /// moved some bytes for good, so the count of barren ones starts anew.
    pub fn after(
        &mut self,
        class: RetryClass,
        progressed: bool,
        chance: &mut Chance,
    ) -> Option<Duration> {
        #[cfg(feature = "mutants")]
        let class = match class {
            RetryClass::Fatal if crate::sim::plants(crate::sim::Mutant::FatalRetried) => {
                RetryClass::Retry
            }
            class => class,
        };
        self.total += 1;
        self.barren = if progressed { 1 } else { self.barren + 1 };
        let (backoff, attempts_max) = match class {
            RetryClass::Throttle => {
                (self.policy.backoff_throttled, self.policy.attempts_throttled_max)
            }
            _ => (self.policy.backoff, self.policy.attempts_max),
        };
        match class {
            RetryClass::Retry | RetryClass::Throttle => {}
            RetryClass::Corrupt => {
                self.corrupt += 1;
                if self.corrupt >= self.policy.corrupt_max {
                    return None;
                }
            }
            // The caller has fresh ones, or would not ask. A store that refuses
            // these as well will refuse the next.
            RetryClass::Auth => {
                self.refused = if progressed { 1 } else { self.refused + 1 };
                let spent = self.refused >= self.policy.auth_max
                    || self.total >= self.policy.attempts_total_max;
                return (!spent).then_some(Duration::ZERO);
            }
            RetryClass::Changed
            | RetryClass::Checksum
            | RetryClass::Budget
            | RetryClass::Cancelled
            | RetryClass::Fatal => return None,
        }
        let spent = self.barren >= attempts_max || self.total >= self.policy.attempts_total_max;
        (!spent).then(|| backoff.wait(self.barren, chance))
    }
}

/// The error after the last attempt.
pub fn given_up(attempts: u32, error: Error) -> Error {
    if attempts < 2 {
        return error;
    }
    let (kind, class) = (error.kind(), error.class());
    Error::new(kind, format!("gave up after {attempts} attempts")).in_class(class).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(class: RetryClass, progressed: bool) -> u32 {
        let mut retry = Retry::new(RetryPolicy::default());
        let mut chance = Chance::from_seed(3);
        while retry.after(class, progressed, &mut chance).is_some() {}
        retry.failed()
    }

    #[test]
    fn gives_up_after_the_policys_attempts() {
        assert_eq!(attempts(RetryClass::Retry, false), 6);
        assert_eq!(attempts(RetryClass::Throttle, false), 10);
        assert_eq!(attempts(RetryClass::Corrupt, false), 2);
        assert_eq!(attempts(RetryClass::Auth, false), 3);
        for class in [
            RetryClass::Changed,
            RetryClass::Checksum,
            RetryClass::Budget,
            RetryClass::Cancelled,
            RetryClass::Fatal,
        ] {
            assert_eq!(attempts(class, false), 1);
        }
    }

    #[test]
    fn progress_earns_more_attempts_but_not_endless_ones() {
        assert_eq!(attempts(RetryClass::Retry, true), 100);
    }
}
