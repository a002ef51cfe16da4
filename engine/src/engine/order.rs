//! One job's way to the shards: a place for each order, the least loaded
//! shard, and the end, when all places are back.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::{Error, ErrorKind, Result};
use crate::tally::Tally;
use crate::worker::{Brief, JobId, Mail, Order, Shard, Work};

/// Orders of one job; what is left of the engine's places goes to others.
pub(super) struct Orders {
    job: JobId,
    shards: Rc<[Shard]>,
    places: Arc<Semaphore>,
    tally: Arc<Tally>,
    begun: Cell<bool>,
}

impl Orders {
    pub(super) fn new(
        job: JobId,
        shards: Rc<[Shard]>,
        places: Arc<Semaphore>,
        tally: Arc<Tally>,
    ) -> Self {
        Self { job, shards, places, tally, begun: Cell::new(false) }
    }

    pub(super) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Waits for a place.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit> {
        self.wide_place(1).await
    }

    /// Waits for a place as wide as `count` of them, so that fewer orders are
    /// under way and their own order counts.
    pub(super) async fn wide_place(&self, count: u32) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.places)
            .acquire_many_owned(count)
            .await
            .map_err(|_| Error::new(ErrorKind::Internal, "the engine has ended"))
    }

    /// Sends work of `bytes` bytes to the least loaded shard.
    pub(super) fn send(
        &self,
        brief: Brief,
        work: Work,
        bytes: u64,
        place: OwnedSemaphorePermit,
    ) -> Result<()> {
        let Some(shard) = self.shards.iter().min_by_key(|shard| shard.load()) else {
            return Err(Error::new(ErrorKind::Internal, "there is no shard"));
        };
        self.begun.set(true);
        let (job, tally) = (self.job, Arc::clone(&self.tally));
        shard.post(Mail::Order(Box::new(Order {
            job,
            brief,
            tally,
            work,
            ticket: shard.ticket(place, bytes),
        })))
    }

    /// Makes the shards look at the job's stop flag.
    pub(super) fn stop(&self) {
        for shard in &*self.shards {
            // A shard that is gone has stopped.
            let _ = shard.post(Mail::Stop);
        }
    }

    /// Makes the shards forget the job, and waits until they have.
    pub(super) async fn retire(&self) {
        if !self.begun.get() {
            return;
        }
        for shard in &*self.shards {
            let (done, gone) = oneshot::channel();
            if shard.post(Mail::Retire(self.job, done)).is_ok() {
                let _ = gone.await;
            }
        }
    }
}
