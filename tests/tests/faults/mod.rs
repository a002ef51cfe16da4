//! Each call of the engine × each thing that a store can do to it: what
//! follows, and what must never follow.
//!
//! ```text
//!  cases ── Case {call, step, times} ──► world: store, engine, job
//!    │                                       │
//!    └─ expected: the table of SEMANTICS ──► check: end, tree, leaks
//! ```
//!
//! Cases run some at a time; descriptors are counted around each batch, in a
//! process that does nothing else.
#![allow(clippy::unwrap_used, dead_code, reason = "each test binary uses some of it")]

pub(crate) mod cases;
pub(crate) mod expected;
pub(crate) mod matrix;
pub(crate) mod world;
