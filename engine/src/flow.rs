//! How much at once and how often again: pure rules, fed with time and chance.
//!
//! ```text
//!  Window  how many parts may be in flight: grows by one per round of
//!          successes, halves when the store asks for less load
//!  Gate    the queue in front of the window, first come first served
//!  Retry   one part's attempts: whether there is another, and when
//!  Hedges  when a request that stalls is asked a second time
//!  Course  whether a listing gets anywhere, or walks in a circle
//!  Pace    bytes a second, over all of a job's connections
//! ```
//!
//! Nothing here does I/O or reads a clock. The limits are [`crate::waits`].

mod course;
mod gate;
mod hedge;
mod pace;
mod retry;
mod window;

pub use course::Course;
pub use gate::{Gate, Pass};
pub use hedge::{Active, Beginning, Hedges};
pub use pace::{Pace, SharedPace};
pub use retry::{Retry, given_up};
pub use window::Window;
