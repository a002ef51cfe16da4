//! The simulated world: what a thread lives in whose engine is tested, time
//! and faults included. Compiled with the feature `sim`, for tests alone.
//!
//! ```text
//!  paused tokio runtime: one thread, one clock that jumps
//!    ├─ control side     list, plan, orders, commits     (`engine::simulated`)
//!    ├─ shard            its ring on `Driver::Sim`
//!    └─ World            far ends of sockets, faults, choices from one seed
//! ```
//!
//! Sockets are pairs that never leave the process; files are real ones, and
//! each operation on them is done when its simulated time has come. What is
//! not in the ring's list of operations asks here: chance, the commit, blocking
//! steps, the number of the boot.
//!
//! Invariant: nothing here waits for real time or for another thread, so the
//! same world makes the same choices in the same order.

use std::cell::RefCell;
use std::ffi::CStr;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::sync::Notify;

/// An operation that begins, as far as a world wants to know.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// A connect to this address.
    Connect(SocketAddr),
    /// A receive.
    Recv,
    /// A send.
    Send,
    /// An open.
    Open,
    /// A read of a file.
    Read,
    /// A write to a file.
    Write,
    /// `fdatasync`.
    Sync,
    /// A reservation.
    Allocate,
    /// A rename, from this name in this folder.
    Rename(BorrowedFd<'a>, &'a CStr),
    /// An unlink.
    Unlink,
    /// A new folder.
    Mkdir,
}

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fate {
    /// Until it is tried.
    pub after: Duration,
    /// It fails so, and does nothing.
    pub fails: Option<Errno>,
    /// It moves this many bytes at most (sockets).
    pub most: Option<usize>,
}

/// A mistake that a simulation must find, planted where its name says.
#[cfg(feature = "mutants")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Requests name no version.
    NoIfMatch,
    /// A file is visible before its bytes were compared.
    PublishFirst,
    /// The first of several slices is not digested.
    SliceSkipped,
    /// The journal calls durable what is not written yet.
    JournalFirst,
    /// A second request asks from the byte before.
    WrongOffset,
    /// A buffer of each body is kept for ever.
    LeaseLeak,
    /// What is final is tried again.
    FatalRetried,
    /// Whoever waits for buffers is not woken.
    WakeLost,
}

/// Whatever surrounds an engine. By default nothing fails and no time passes,
/// and the first of several things comes first.
pub trait World {
    /// What becomes of an operation that begins now.
    fn fate(&self, step: Step<'_>) -> Fate {
        let _ = step;
        Fate::default()
    }
    /// Which of `count` things comes first.
    fn pick(&self, count: usize) -> usize {
        let _ = count;
        0
    }
    /// 64 bits for the engine's own jitter and names.
    fn bits(&self) -> u64 {
        0
    }
    /// A connection was made to `to`; this is its far end.
    fn connected(&self, to: SocketAddr, far: OwnedFd);
    /// Bytes were sent, to whichever far end.
    fn sent(&self) {}
    /// Told when a far end has done something, and when a task was woken.
    fn stir(&self) -> &Notify;
    /// Everything in the file system of `folder` becomes durable, or not.
    ///
    /// # Errors
    /// The disk's, which lost something.
    fn synced(&self, folder: &OwnedFd) -> Result<(), Errno> {
        let _ = folder;
        Ok(())
    }
    /// The number of this boot.
    fn boot(&self) -> u64 {
        0
    }
    /// Bytes of a part: small ones make many.
    fn part_bytes(&self) -> u64 {
        8 << 20
    }
    /// Whether the process is gone: nothing it began happens any more.
    fn is_over(&self) -> bool {
        false
    }
    /// Whether this mistake is in the engine.
    #[cfg(feature = "mutants")]
    fn plants(&self, mutant: Mutant) -> bool {
        let _ = mutant;
        false
    }
}

thread_local! {
    static WORLD: RefCell<Option<Rc<dyn World>>> = const { RefCell::new(None) };
}

/// The thread's life in a world; ends with its drop.
#[must_use]
pub struct Stay(());

impl Drop for Stay {
    fn drop(&mut self) {
        WORLD.with(|place| place.borrow_mut().take());
    }
}

/// The calling thread lives in `world` from now on.
pub fn enter(world: Rc<dyn World>) -> Stay {
    WORLD.with(|place| *place.borrow_mut() = Some(world));
    Stay(())
}

/// The calling thread's world.
pub(crate) fn world() -> Option<Rc<dyn World>> {
    WORLD.with(|place| place.borrow().clone())
}

/// Whether the thread's world has this mistake in the engine.
#[cfg(feature = "mutants")]
pub(crate) fn plants(mutant: Mutant) -> bool {
    world().is_some_and(|world| world.plants(mutant))
}

/// The simulated clock; the machine's on a thread without a paused runtime.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A blocking step, done at once on a later turn; given back outside of a
/// world.
pub(crate) async fn blocking<T, W: FnOnce() -> T>(work: W) -> Result<T, W> {
    let Some(world) = world() else { return Err(work) };
    let turns = world.pick(4);
    drop(world);
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
    Ok(work())
}
