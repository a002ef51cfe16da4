//! How often something is tried, and how far apart.

use std::time::Duration;

use super::Backoff;

/// The one retry policy of the engine.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Attempts without any progress after which a part is given up.
    pub attempts_max: u32,
    /// The same while the store asks for less load: it means to recover, and
    /// says so to many clients at once.
    pub attempts_throttled_max: u32,
    /// Attempts in all, progress or not: a bound on hopeless connections.
    pub attempts_total_max: u32,
    /// Attempts at bytes that do not match their checksum.
    pub corrupt_max: u32,
    /// Refusals of credentials in a row, each of fresh ones.
    pub auth_max: u32,
    /// Objects in a row that find nobody at the endpoint, each after all of its
    /// attempts, before the rest of the job is spared.
    pub lost_max: u32,
    /// Over this long at least: a blink of the network fails a whole window of
    /// parts at once.
    pub lost_for: Duration,
    /// The wait in between.
    pub backoff: Backoff,
    /// The wait where the store asks for less load.
    pub backoff_throttled: Backoff,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 6,
            attempts_throttled_max: 10,
            attempts_total_max: 100,
            corrupt_max: 2,
            auth_max: 3,
            lost_max: 16,
            lost_for: Duration::from_secs(20),
            backoff: Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(10) },
            // Nine waits: half a minute to a minute in all.
            backoff_throttled: Backoff {
                base: Duration::from_millis(500),
                cap: Duration::from_secs(10),
            },
        }
    }
}
