//! What a shard remembers of the jobs that have orders on it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::desk::cancelled;
use crate::download::Downloads;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::SharedPace;
use crate::ring::Ring;
use crate::s3::Store;
use crate::site::Site;
use crate::tally::Tally;
use crate::upload::Uploads;
use crate::worker::stop::Stop;
use crate::worker::{Brief, JobId, Work};

impl Brief {
    pub(super) fn store(&self, ring: &Ring) -> Store {
        let contact = match self {
            Self::Download(brief) => &brief.contact,
            Self::Upload(brief) => &brief.contact,
        };
        Store::new(ring.clone(), contact.clone())
    }

    pub(super) fn pace(&self) -> Option<Arc<SharedPace>> {
        match self {
            Self::Download(brief) => brief.pace.clone(),
            Self::Upload(brief) => brief.pace.clone(),
        }
    }
}

/// The stages of one job on this shard.
pub(super) enum Side {
    Down(Downloads),
    Up(Uploads),
}

impl Side {
    pub(super) fn join(site: Site, brief: &Brief, shard: usize) -> Result<Self> {
        match brief {
            Brief::Download(brief) => Downloads::join(site, brief, shard).map(Self::Down),
            Brief::Upload(brief) => Uploads::join(site, brief).map(Self::Up),
        }
    }
}

/// One job on this shard.
pub(super) struct Local {
    side: Side,
    stop: Stop,
    tally: Arc<Tally>,
    /// Dropped, and so heard of, when the last order lets go of the job.
    retired: RefCell<Option<oneshot::Sender<()>>>,
}

/// All jobs on this shard; a job leaves with `retire` and its last order.
#[derive(Default)]
pub(super) struct Locals {
    joined: HashMap<JobId, Rc<Local>>,
    leaving: Vec<Weak<Local>>,
}

impl Locals {
    pub(super) fn get_or_join(
        &mut self,
        job: JobId,
        tally: &Arc<Tally>,
        join: impl FnOnce() -> Result<Side>,
    ) -> Result<Rc<Local>> {
        if let Some(local) = self.joined.get(&job) {
            return Ok(Rc::clone(local));
        }
        let (stop, tally) = (Stop::default(), Arc::clone(tally));
        let local = Rc::new(Local { side: join()?, stop, tally, retired: RefCell::default() });
        self.joined.insert(job, Rc::clone(&local));
        Ok(local)
    }

    pub(super) fn stop_cancelled(&mut self) {
        self.leaving.retain(|local| local.strong_count() > 0);
        let leaving = self.leaving.iter().filter_map(Weak::upgrade);
        for local in self.joined.values().cloned().chain(leaving) {
            if local.tally.cancelled() {
                local.stop.fire();
            }
        }
    }

    pub(super) fn retire(&mut self, job: JobId, done: oneshot::Sender<()>) {
        if let Some(local) = self.joined.remove(&job) {
            *local.retired.borrow_mut() = Some(done);
            self.leaving.push(Rc::downgrade(&local));
        }
    }
}

/// Runs one order to its end, whichever it is; the outcome is in the tally.
pub(super) async fn run(local: Result<Rc<Local>>, work: Work, tally: &Tally) {
    let local = match local {
        Ok(local) => local,
        Err(error) => return work.refuse(tally, error),
    };
    match (&local.side, work) {
        (Side::Down(side), Work::Object(object)) => {
            local.stop.race(side.run(&object)).await;
        }
        (Side::Up(side), Work::File(order)) => {
            local.stop.race(side.file(&order)).await;
        }
        (Side::Up(side), Work::Parts(order)) => {
            let ended = local.stop.race(side.parts(&order.file, &order.upload, order.rung)).await;
            // Nobody waits any more only when the whole engine goes away.
            let _ = order.reply.send(ended.unwrap_or_else(|| Err(cancelled())));
        }
        (_, work) => {
            work.refuse(tally, Error::new(ErrorKind::Internal, "an order of another job's kind"));
        }
    }
}

impl Work {
    fn refuse(self, tally: &Tally, error: Error) {
        match self {
            Self::Object(object) => tally.failed(&object.key, &error),
            Self::File(order) => tally.failed(&order.name, &error),
            Self::Parts(order) => {
                let _ = order.reply.send(Err(error));
            }
        }
    }
}
