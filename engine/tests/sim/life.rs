//! A life's beginning, its steps and its end, in its time or before.

use tokio::time::Instant;

use crate::disk::Death;
use crate::faults::Fault;
use crate::world::Simulation;

/// How a life ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarlyEnd {
    Killed,
    PowerLoss,
    Cancelled,
}

/// Which faults there are, each once in so many chances.
pub(crate) type Faults = Vec<(Fault, u64)>;

/// How a life ends before its time, if it does, and at which step.
pub(crate) type Early = Option<(EarlyEnd, u64)>;

impl Simulation {
    /// A life begins, on the clock of the current runtime.
    pub(crate) fn begins(&self, faults: Faults, early: Early) {
        self.born.set(Some(Instant::now()));
        *self.faults.borrow_mut() = faults;
        self.steps.set(0);
        self.early.set(early);
        self.is_cancelled.set(false);
        self.over.set(false);
        self.finals.borrow_mut().clear();
        self.open.borrow_mut().clear();
        self.far_ends.borrow_mut().clear();
        self.store.borrow().iter().for_each(|stored| stored.was_flipped.set(false));
    }

    /// The life is over, and its clock with it.
    pub(crate) fn ends(&self) {
        self.born.set(None);
    }

    /// Who asks the engine to stop.
    pub(crate) fn cancels_with(&self, cancel: impl Fn() + 'static) {
        *self.cancel.borrow_mut() = Some(Box::new(cancel));
    }

    /// One step of the life, which may be its last.
    pub(crate) fn step(&self) {
        let step = self.steps.get() + 1;
        self.steps.set(step);
        let Some((end, _)) = self.early.get().filter(|(_, at)| *at == step) else { return };
        self.note("ends early", step);
        match end {
            EarlyEnd::Killed | EarlyEnd::PowerLoss => self.dies(),
            EarlyEnd::Cancelled => {
                self.is_cancelled.set(true);
                self.cancel.take().into_iter().for_each(|cancel| cancel());
            }
        }
    }

    fn dies(&self) {
        let aside = self.root.with_extension("aside");
        let death = Death::hold(&self.root, &aside).expect("hold the tree");
        *self.death.borrow_mut() = Some(death);
        self.over.set(true);
        self.died.notify_one();
    }

    /// Waits for this life's end before its time.
    pub(crate) async fn death(&self) {
        while !self.over.get() {
            self.died.notified().await;
        }
    }
}
