//! Buffer memory: one slab, one budget, a lease before a request.
//!
//! It is the only place where memory for bytes on the move comes from. It is
//! not a general allocator: it never grows, and asking for more means waiting.
//!
//! ```text
//!            Pool::lease(3).await            Lease::take
//!  Pool ───────────────────────────► Lease ───────────────► Buffer
//!   ▲ ▲      first come, first served   │ drop: the rest      │ drop, on
//!   │ └─────────────────────────────────┘                     │ any thread
//!   └─────────────────────────────────────────────────────────┘
//!
//!  slab: one anonymous mapping │ 0 │ 1 │ 2 │ … │ n-1 │   page-aligned
//! ```
//!
//! Invariants: a buffer's index is out at most once; leased plus free rights
//! always add up to the slab; waiters are served strictly in order, so a large
//! lease is not starved by small ones. Limits: the slab's size, fixed when it
//! is made. Every waiter is one task, so the queue is bounded by the tasks.

mod allocator;
mod code;
mod mapping;
mod pool;

pub use allocator::{limit_arenas, trim};
pub use code::release_code;
pub use pool::{Buffer, Lease, Pool};

/// Bytes `start..end` of a buffer: what a send or a write takes.
#[derive(Debug)]
pub struct Slice {
    /// The buffer; owned, so nobody else can touch it meanwhile.
    pub buffer: Buffer,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Slice {
    /// The bytes; what lies outside the buffer is cut off.
    pub fn bytes(&self) -> &[u8] {
        let end = self.end.min(self.buffer.len());
        &self.buffer[self.start.min(end)..end]
    }
}
