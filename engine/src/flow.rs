//! How much at once and how often again: pure rules, fed with time and chance.
//!
//! ```text
//!  Window  how many parts may be in flight: grows by one per round of
//!          successes, halves when the store asks for less load
//!  Gate    the queue in front of the window, first come first served
//!  Retry   one part's attempts: whether there is another, and when
//!  Pace    bytes a second, over all of a job's connections
//!  Backoff the wait between them; the jitter lies inside the cap
//! ```
//!
//! Nothing here does I/O or reads a clock.

mod backoff;
mod gate;
mod pace;
mod retry;
mod window;

pub use backoff::Backoff;
pub use gate::{Gate, Pass};
pub use pace::{Pace, SharedPace};
pub use retry::{Retry, RetryPolicy, given_up};
pub use window::Window;
