//! Every limit on time and on attempts, in one place, so that whoever starts an
//! engine can see and set them.
//!
//! It is: how long each wait may last, how often something is tried, how far
//! apart. It is not: the decision whether to try again, which `flow` makes.
//!
//! Limits: [`Patience::DEFAULT`], [`RetryPolicy::default`], [`Waits::abort`].

mod backoff;
mod patience;
mod retry;

use std::time::Duration;

pub use backoff::Backoff;
pub use patience::Patience;
pub use retry::RetryPolicy;

/// The limits of one engine.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// How long each wait may last.
    pub patience: Patience,
    /// Attempts, and the waits between them.
    pub retry: RetryPolicy,
    /// The longest wait for the end of an upload that was given up. The job
    /// has failed or was cancelled by then, and somebody waits to read why.
    pub abort: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            patience: Patience::DEFAULT,
            retry: RetryPolicy::default(),
            abort: Duration::from_secs(15),
        }
    }
}
