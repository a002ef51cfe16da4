//! A model of an S3 store for measuring: what a real one costs in time, without
//! a network and without a disk.
//!
//! It is: an S3 endpoint whose delays, rates and refusals come from a
//! [`Profile`] and a seed, whose objects are generated while they are sent, and
//! which keeps of an upload its size and digest alone. It is not: a store (what
//! was put cannot be read back), a fault server (it never breaks a promise of
//! HTTP), a judge of signatures, or a network: packets are neither lost nor
//! reordered, and there is no slow start.
//!
//! ```text
//!                    ┌── one thread ─────────────────────────────────────────┐
//!  client ── head ──►│ admitted? ──no──► 503 SlowDown                        │
//!                    │   │ yes                                               │
//!                    │ round trip + first byte (Schedule: seed, serial)      │
//!                    │   │                                                   │
//!         ◄── body ──│ Content(seed, object, offset) at the connection's and │
//!                    │                                the link's pace        │
//!         ── body ──►│ CRC64NVME and size ─► Sink                            │
//!                    └───────────────────────────────────────────────────────┘
//! ```
//!
//! Invariants: the same seed gives the same bytes, keys and delays; time enters
//! the generators as an argument only, so that they are tested without a clock.
//!
//! Limits: heads of 16 KiB, 1,024 connections, 10,000,000 objects a data set,
//! 1,000,000 uploaded objects, 1,000 uploads in parts at a time, 10,000 parts
//! each. Delays are kept to the millisecond, the runtime's own grain. What a
//! profile allows at best, as numbers: [`Profile::limit`]; the model itself
//! spends about 0.2 CPU-seconds on a GiB over loopback, even in a debug build.

mod body;
mod catalog;
mod content;
mod listing;
mod pace;
mod profile;
mod query;
mod reply;
mod request;
mod route;
mod schedule;
mod serve;
mod sink;
mod watch;

pub use catalog::{Catalog, Dataset};
pub use content::{Content, PAGE_BYTES, Window};
pub use pace::{Allowance, Pace};
pub use profile::{Latency, Limit, Profile};
pub use schedule::{Hang, Schedule};
pub use serve::{BUCKET, Model, ModelServer};
pub use watch::{Asked, Watch};
