//! Buffer memory: one slab, one budget, a lease before a request.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// An equal slice of the slab; goes back to it when dropped.
#[derive(Debug)]
pub struct Buffer(Vec<u8>);

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

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

/// A shard's buffers and the budget over them.
#[derive(Clone, Debug)]
pub struct Pool(Rc<RefCell<usize>>);

impl Pool {
    /// `buffers` equal buffers of `buffer_bytes` each in one mapping.
    ///
    /// # Errors
    /// The mapping was refused.
    pub fn new(_buffers: usize, _buffer_bytes: usize) -> std::io::Result<Self> {
        todo!()
    }

    /// Waits, first come first served, for the right to use `buffers` buffers.
    /// `buffers` larger than the pool is clamped to the pool.
    pub async fn lease(&self, _buffers: usize) -> Lease {
        todo!()
    }

    /// Bytes of one buffer.
    pub fn buffer_bytes(&self) -> usize {
        todo!()
    }

    /// Buffers that are neither leased nor in use: all of them when idle,
    /// which shutdown asserts.
    pub fn free(&self) -> usize {
        todo!()
    }
}

/// The right to use some buffers; given back when dropped.
#[derive(Debug)]
pub struct Lease(());

impl Lease {
    /// A buffer out of the lease; `None` when all of its buffers are out.
    /// A dropped buffer can be taken again for as long as the lease lives.
    pub fn take(&self) -> Option<Buffer> {
        todo!()
    }
}
