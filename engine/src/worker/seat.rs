//! How a shard begins and ends: its driver, its buffers, its mailbox.

use std::cell::{Cell, RefCell};
#[cfg(feature = "sim")]
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::{BUFFER_BYTES, MAILBOX_MAX, Mail, Shard, WINDOW_FIRST, WINDOW_MAX, Worker};
use crate::clock::Chance;
use crate::config::IoChoice;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::{Gate, Window};
use crate::mem::Pool;
use crate::report::IoReport;
use crate::ring::Ring;
use crate::waits::Waits;

/// What a shard is started with.
pub struct Start {
    /// Its number.
    pub number: usize,
    /// The driver.
    pub io: IoChoice,
    /// Its share of the budget.
    pub memory_bytes: usize,
    /// Limits on time and attempts.
    pub waits: Waits,
}

/// Runs a shard on the calling thread until every [`Shard`] handle is dropped;
/// `ready` learns first whether it could start. Answers how many buffers were
/// not returned, which is none.
pub fn run(start: &Start, ready: impl FnOnce(Result<(Shard, IoReport)>)) -> usize {
    let (seat, shard, report) = match seat(start) {
        Ok(seated) => seated,
        Err(error) => {
            ready(Err(error));
            return 0;
        }
    };
    ready(Ok((shard, report)));
    seat.ring.block_on(Rc::clone(&seat.worker).serve(&seat.orders));
    left(&seat)
}

/// As [`run`], as a task of a simulation.
///
/// # Errors
/// The shard could not start.
#[cfg(feature = "sim")]
pub fn simulated(start: &Start) -> Result<(Shard, impl Future<Output = usize> + use<>)> {
    let (seat, shard, _) = seat(start)?;
    let served = async move {
        seat.ring.drive(Rc::clone(&seat.worker).serve(&seat.orders)).await;
        left(&seat)
    };
    Ok((shard, served))
}

/// Buffers that were not returned.
fn left(seat: &Seat) -> usize {
    let left = seat.buffers - seat.pool.free();
    debug_assert_eq!(left, 0, "buffers were not returned");
    left
}

/// A shard that has not begun to serve.
struct Seat {
    ring: Ring,
    pool: Pool,
    /// Of the pool.
    buffers: usize,
    worker: Rc<Worker>,
    orders: Receiver<Mail>,
}

fn seat(start: &Start) -> Result<(Seat, Shard, IoReport)> {
    let (ring, report) = Ring::open(start.io)?;
    let buffers = start.memory_bytes / BUFFER_BYTES;
    let pool = Pool::new(buffers, BUFFER_BYTES).map_err(|error| {
        let sentence = format!("cannot reserve {} bytes for buffers", start.memory_bytes);
        Error::new(ErrorKind::Config, sentence).because(error)
    })?;
    let (mailbox, orders) = crossbeam_channel::bounded(MAILBOX_MAX);
    let shard = Shard { mailbox: Some(mailbox), remote: ring.remote(), load: Arc::default() };
    let worker = Worker {
        ring: ring.clone(),
        pool: pool.clone(),
        gate: Gate::new(Window::new(WINDOW_FIRST, WINDOW_MAX)),
        chance: Rc::new(RefCell::new(Chance::from_clock())),
        waits: start.waits,
        number: start.number,
        remote: ring.remote(),
        jobs: RefCell::default(),
        active: Cell::new(0),
        closed: Cell::new(false),
    };
    Ok((Seat { ring, pool, buffers, worker: Rc::new(worker), orders }, shard, report))
}
