//! One shard's loop: takes orders from its mailbox, runs each as a local task,
//! and ends when the mailbox is closed and the last order is done.
//!
//! ```text
//!  control thread ──Mail──► bounded channel ──Remote::wake──► shard thread
//!                                                              │ spawn
//!       Ticket dropped ◄── order done ◄── download / upload ◄──┘
//! ```
//!
//! A shard owns one ring, one pool and its connections; orders of all jobs
//! share its window. An object belongs to one shard, so that nothing about it
//! is shared between threads. Limits: [`ORDERS_MAX`] orders over all shards,
//! enforced by the tickets that the control thread hands out.

mod local;
mod seat;
mod stop;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use tokio::sync::OwnedSemaphorePermit;

use crate::clock::Chance;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::{Gate, Hedges};
use crate::mem::Pool;
use crate::object::Object;
use crate::ring::{Remote, Ring};
use crate::tally::Tally;
use crate::waits::Waits;
use crate::{download, upload};

use local::Locals;
#[cfg(feature = "sim")]
pub use seat::simulated;
pub use seat::{Start, run};

/// Objects and files that are on shards at once, over all jobs.
pub const ORDERS_MAX: usize = 256;

/// Room for orders and for the few words about jobs.
const MAILBOX_MAX: usize = ORDERS_MAX + 64;

/// Bytes of a buffer. Receives fill it in one or two calls; eight of them go
/// to disk in one write; a budget of 24 MiB is 384 of them, so some forty
/// parts or nearly two hundred small files can be in flight.
pub const BUFFER_BYTES: usize = 64 << 10;

/// Least memory of a shard: two parts.
pub const SHARD_BYTES_MIN: usize = 2 * (1 + crate::site::PART_BUFFERS) * BUFFER_BYTES;

/// Parts in flight at first, and at most.
const WINDOW_FIRST: usize = 16;
const WINDOW_MAX: usize = 128;

/// A job, as shards name it.
pub type JobId = u64;

/// What a job's orders have in common.
#[derive(Clone)]
pub enum Brief {
    /// A download.
    Download(Arc<download::Brief>),
    /// An upload.
    Upload(Arc<upload::Brief>),
}

/// One thing to move.
pub enum Work {
    /// An object to download.
    Object(Object),
    /// A file to upload in one request.
    File(upload::FileOrder),
    /// A file to upload in parts, and who waits for them.
    Parts(upload::PartsOrder),
}

/// The right to have one order on a shard, and its weight; given back when
/// the order is done.
pub struct Ticket {
    _permit: OwnedSemaphorePermit,
    load: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.load.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// One thing to move, and for whom.
pub struct Order {
    /// Whose it is.
    pub job: JobId,
    /// What the job's orders share.
    pub brief: Brief,
    /// The job's counters and stop flag.
    pub tally: Arc<Tally>,
    /// What to do.
    pub work: Work,
    /// Its right to be here.
    pub ticket: Ticket,
}

/// What a shard is told.
pub enum Mail {
    /// Do this.
    Order(Box<Order>),
    /// Look at the stop flags.
    Stop,
    /// No more orders of this job: forget it after the last, and drop the
    /// sender then.
    Retire(JobId, tokio::sync::oneshot::Sender<()>),
}

/// The control thread's end of a shard.
#[derive(Clone)]
pub struct Shard {
    /// `None` only while it is being dropped.
    mailbox: Option<Sender<Mail>>,
    remote: Remote,
    load: Arc<AtomicU64>,
}

/// Each order is at least this heavy, so that empty files spread as well.
const ORDER_BYTES_MIN: u64 = 64 << 10;

impl Shard {
    /// Bytes that are on their way there.
    pub fn load(&self) -> u64 {
        self.load.load(Ordering::Relaxed)
    }

    /// A ticket for an order of `bytes` bytes.
    pub fn ticket(&self, permit: OwnedSemaphorePermit, bytes: u64) -> Ticket {
        let bytes = bytes.max(ORDER_BYTES_MIN);
        self.load.fetch_add(bytes, Ordering::Relaxed);
        Ticket { _permit: permit, load: Arc::clone(&self.load), bytes }
    }

    /// Puts mail into the box. Tickets keep it from filling up with orders;
    /// the rest of its room is for words about jobs, for which the control
    /// thread may wait a moment.
    ///
    /// # Errors
    /// `Internal` when the shard is gone.
    pub fn post(&self, mail: Mail) -> Result<()> {
        let gone = || Error::new(ErrorKind::Internal, "a shard thread has ended");
        let sent = self.mailbox.as_ref().ok_or_else(gone)?.send(mail);
        self.remote.wake();
        sent.map_err(|_| gone())
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        // Closed first, so that the shard finds it closed when it looks.
        self.mailbox = None;
        self.remote.wake();
    }
}

struct Worker {
    ring: Ring,
    pool: Pool,
    gate: Gate,
    chance: Rc<RefCell<Chance>>,
    waits: Waits,
    number: usize,
    remote: Remote,
    jobs: RefCell<Locals>,
    active: Cell<usize>,
    closed: Cell<bool>,
}

impl Worker {
    async fn serve(self: Rc<Self>, orders: &Receiver<Mail>) {
        loop {
            self.empty(orders);
            self.jobs.borrow_mut().stop_cancelled();
            if self.closed.get() && self.active.get() == 0 {
                return;
            }
            self.ring.woken().await;
        }
    }

    fn empty(self: &Rc<Self>, orders: &Receiver<Mail>) {
        loop {
            match orders.try_recv() {
                Ok(mail) => self.take(mail),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => return self.closed.set(true),
            }
        }
    }

    fn take(self: &Rc<Self>, mail: Mail) {
        match mail {
            Mail::Order(order) => {
                let Order { job, brief, tally, work, ticket } = *order;
                let local = self.local(job, &brief, &tally);
                let worker = Rc::clone(self);
                self.active.set(self.active.get() + 1);
                let order = async move {
                    local::run(local, work, &tally).await;
                    drop(ticket);
                    worker.active.set(worker.active.get() - 1);
                    if worker.closed.get() {
                        worker.remote.wake();
                    }
                };
                self.ring.spawn(order).detach();
            }
            Mail::Stop => {}
            Mail::Retire(job, done) => self.jobs.borrow_mut().retire(job, done),
        }
    }

    fn local(&self, job: JobId, brief: &Brief, tally: &Arc<Tally>) -> Result<Rc<local::Local>> {
        self.jobs.borrow_mut().get_or_join(job, tally, || {
            let store = brief.store(&self.ring).with_patience(self.waits.patience);
            let site = crate::site::Site {
                ring: self.ring.clone(),
                pool: self.pool.clone(),
                gate: self.gate.clone(),
                chance: Rc::clone(&self.chance),
                hedges: Hedges::default(),
                policy: self.waits.retry,
                pace: brief.pace(),
                store,
                tally: Arc::clone(tally),
            };
            local::Side::join(site, brief, self.number)
        })
    }
}
