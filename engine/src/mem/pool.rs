//! The budget over the slab: rights, their queue, and the buffers they buy.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::mapping::{Mapping, Place};

/// A shard's buffers and the budget over them; cloning it clones the handle.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

/// The right to use some buffers; given back when dropped.
pub struct Lease {
    shared: Arc<Shared>,
    right: usize,
}

/// An equal slice of the slab; goes back to it when dropped, on any thread.
/// Its bytes start as whatever its last user left.
pub struct Buffer {
    shared: Arc<Shared>,
    right: usize,
    /// Gone only while the buffer is dropped.
    place: Option<Place>,
}

struct Shared {
    mapping: Mapping,
    state: Mutex<State>,
}

/// `unleased` + the buffers of open rights + those still out of closed rights
/// is the slab, always.
struct State {
    /// Places that nobody owns, the hottest last.
    idle: Vec<Place>,
    unleased: usize,
    rights: Vec<Right>,
    vacant: Vec<usize>,
    waiters: VecDeque<Waiter>,
    granted: Vec<(u64, usize)>,
    waiter_next: u64,
}

#[derive(Clone, Copy)]
struct Right {
    buffers: usize,
    out: usize,
    open: bool,
}

struct Waiter {
    id: u64,
    buffers: usize,
    waker: Waker,
}

impl Pool {
    /// `buffers` equal, page-aligned buffers of `buffer_bytes` each in one
    /// mapping, which never grows. A size that is no multiple of the page
    /// occupies the next multiple.
    ///
    /// # Errors
    /// The mapping was refused, or a number is zero.
    pub fn new(buffers: usize, buffer_bytes: usize) -> io::Result<Self> {
        let (mapping, idle) = Mapping::new(buffers, buffer_bytes)?;
        let state = State {
            idle,
            unleased: buffers,
            rights: Vec::new(),
            vacant: Vec::new(),
            waiters: VecDeque::new(),
            granted: Vec::new(),
            waiter_next: 0,
        };
        Ok(Self(Arc::new(Shared { mapping, state: Mutex::new(state) })))
    }

    /// Waits, first come first served, for the right to use `buffers` buffers.
    /// `buffers` larger than the pool is clamped to the pool. Dropping the
    /// future gives the place in the queue up.
    pub async fn lease(&self, buffers: usize) -> Lease {
        let buffers = buffers.min(self.0.mapping.places());
        Waiting { shared: &self.0, buffers, id: None }.await
    }

    /// The right to use `buffers` buffers, if that many are free; whoever waits
    /// goes on waiting.
    pub fn lease_now(&self, buffers: usize) -> Option<Lease> {
        let mut state = self.0.lock();
        let right = (buffers <= state.unleased).then(|| state.open(buffers))?;
        Some(Lease { shared: Arc::clone(&self.0), right })
    }

    /// Bytes of one buffer.
    pub fn buffer_bytes(&self) -> usize {
        self.0.mapping.place_bytes()
    }

    /// Buffers that are neither leased nor in use: all of them when idle,
    /// which shutdown asserts.
    pub fn free(&self) -> usize {
        self.0.lock().unleased
    }

    /// Gives the memory behind unused buffers back to the kernel; they stay
    /// usable and cost a page fault each when used again.
    pub fn release_idle(&self) {
        for place in &mut self.0.lock().idle {
            self.0.mapping.discard(place);
        }
    }
}

impl Shared {
    // A panic while the lock is held leaves the counts as they were before or
    // after one step, never between, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then wakes those whom the change served.
    fn change(&self, step: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        step(&mut state);
        let served = state.serve();
        drop(state);
        #[cfg(feature = "mutants")]
        if crate::sim::plants(crate::sim::Mutant::WakeLost) {
            return;
        }
        for waker in served {
            waker.wake();
        }
    }
}

impl State {
    fn open(&mut self, buffers: usize) -> usize {
        self.unleased -= buffers;
        let right = Right { buffers, out: 0, open: true };
        if let Some(place) = self.vacant.pop() {
            self.rights[place] = right;
            return place;
        }
        self.rights.push(right);
        self.rights.len() - 1
    }

    /// Ends a right; what is still out of it comes back buffer by buffer.
    fn close(&mut self, right: usize) {
        let entry = &mut self.rights[right];
        entry.open = false;
        self.unleased += entry.buffers - entry.out;
        if entry.out == 0 {
            self.vacant.push(right);
        }
    }

    fn give_back(&mut self, right: usize, place: Place) {
        self.idle.push(place);
        let entry = &mut self.rights[right];
        entry.out -= 1;
        if !entry.open {
            self.unleased += 1;
            if entry.out == 0 {
                self.vacant.push(right);
            }
        }
    }

    /// Grants from the front of the queue for as long as the front fits.
    fn serve(&mut self) -> Vec<Waker> {
        let mut served = Vec::new();
        while let Some(front) = self.waiters.front() {
            if front.buffers > self.unleased {
                break;
            }
            let Some(waiter) = self.waiters.pop_front() else { break };
            let right = self.open(waiter.buffers);
            self.granted.push((waiter.id, right));
            served.push(waiter.waker);
        }
        served
    }

    fn take_granted(&mut self, id: u64) -> Option<usize> {
        let at = self.granted.iter().position(|(granted, _)| *granted == id)?;
        Some(self.granted.swap_remove(at).1)
    }
}

/// A place in the queue.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    buffers: usize,
    id: Option<u64>,
}

impl Future for Waiting<'_> {
    type Output = Lease;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Lease> {
        let shared = self.shared;
        let mut state = shared.lock();
        let lease = |right| Lease { shared: Arc::clone(shared), right };
        let Some(id) = self.id else {
            if state.waiters.is_empty() && self.buffers <= state.unleased {
                return Poll::Ready(lease(state.open(self.buffers)));
            }
            let id = state.waiter_next;
            state.waiter_next += 1;
            let waker = cx.waker().clone();
            state.waiters.push_back(Waiter { id, buffers: self.buffers, waker });
            self.id = Some(id);
            return Poll::Pending;
        };
        if let Some(right) = state.take_granted(id) {
            self.id = None;
            return Poll::Ready(lease(right));
        }
        if let Some(waiter) = state.waiters.iter_mut().find(|waiter| waiter.id == id) {
            waiter.waker.clone_from(cx.waker());
        }
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        // The one behind may fit now, or may have what was granted to us.
        self.shared.change(|state| {
            state.waiters.retain(|waiter| waiter.id != id);
            if let Some(right) = state.take_granted(id) {
                state.close(right);
            }
        });
    }
}

impl Lease {
    /// A buffer out of the lease; `None` when all of its buffers are out.
    /// A dropped buffer can be taken again for as long as the lease lives.
    pub fn take(&self) -> Option<Buffer> {
        let mut state = self.shared.lock();
        let Right { buffers, out, .. } = state.rights[self.right];
        if out == buffers {
            return None;
        }
        let place = Some(state.idle.pop()?);
        state.rights[self.right].out += 1;
        drop(state);
        Some(Buffer { shared: Arc::clone(&self.shared), right: self.right, place })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.change(|state| state.close(self.right));
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        self.shared.change(|state| state.give_back(self.right, place));
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.place.as_ref().map_or(&[], |place| self.shared.mapping.bytes(place))
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let shared = &self.shared;
        self.place.as_mut().map_or(&mut [], |place| shared.mapping.bytes_mut(place))
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.len())
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let right = self.shared.lock().rights[self.right];
        write!(f, "Lease({} of {} buffers out)", right.out, right.buffers)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} of {} buffers free)", self.free(), self.0.mapping.places())
    }
}
