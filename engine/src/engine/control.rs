//! The control thread: takes jobs, runs each as a local task, reports.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::{JoinSet, LocalSet};

use crate::config::Access;
use crate::desk::cancelled;
use crate::engine::order::Orders;
use crate::engine::{Command, JOBS_MAX, Shared, tasks, usage};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::report::{Report, Usage};
use crate::waits::Waits;
use crate::worker::{JobId, ORDERS_MAX, Shard};

/// Runs the thread until the engine is dropped.
pub(super) fn run(
    shards: Vec<Shard>,
    access: Access,
    waits: Waits,
    commands: mpsc::Receiver<Command>,
    shutdown: &Notify,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // The walker and the group commit; a thread each while they run.
        .max_blocking_threads(4)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return refuse_all(commands, &error),
    };
    let control = Rc::new(Control {
        shards: shards.into(),
        places: Arc::new(Semaphore::new(ORDERS_MAX)),
        access,
        waits,
        jobs: RefCell::default(),
        next: Cell::new(0),
        #[cfg(feature = "sim")]
        opened: None,
    });
    LocalSet::new().block_on(&runtime, control.serve(commands, shutdown));
}

fn refuse_all(mut commands: mpsc::Receiver<Command>, error: &std::io::Error) {
    while let Some(command) = commands.blocking_recv() {
        let sentence = format!("cannot start the control thread's runtime: {error}");
        let _ = command.done.send(Err(Error::new(ErrorKind::Local, sentence)));
    }
}

pub(super) struct Control {
    pub(super) shards: Rc<[Shard]>,
    pub(super) places: Arc<Semaphore>,
    pub(super) access: Access,
    pub(super) waits: Waits,
    pub(super) jobs: RefCell<HashMap<JobId, Arc<Shared>>>,
    pub(super) next: Cell<JobId>,
    /// The one store of a simulation.
    #[cfg(feature = "sim")]
    pub(super) opened: Option<crate::s3::Opened>,
}

impl Control {
    async fn serve(self: Rc<Self>, mut commands: mpsc::Receiver<Command>, shutdown: &Notify) {
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                command = commands.recv(), if running.len() < JOBS_MAX => match command {
                    Some(command) => {
                        running.spawn_local(Rc::clone(&self).job(command));
                    }
                    None => break,
                },
                Some(_) = running.join_next() => {}
                () = shutdown.notified() => break,
            }
        }
        commands.close();
        for shared in self.jobs.borrow().values() {
            shared.cancel();
        }
        while running.join_next().await.is_some() {}
        // Jobs that were never begun.
        while let Some(command) = commands.recv().await {
            let _ = command.done.send(Err(cancelled()));
        }
    }

    pub(super) async fn job(self: Rc<Self>, command: Command) {
        let id = self.next.get();
        self.next.set(id + 1);
        self.jobs.borrow_mut().insert(id, Arc::clone(&command.shared));
        let shared = Arc::clone(&command.shared);
        let orders = Rc::new(Orders::new(
            id,
            Rc::clone(&self.shards),
            Arc::clone(&self.places),
            Arc::clone(&shared.tally),
        ));
        let ended = self.run(command.job, &shared, &orders).await;
        self.jobs.borrow_mut().remove(&id);
        let report = ended.map(|()| report(&shared, &command.started, command.usage));
        // A caller that dropped its handle does not want to know.
        let _ = command.done.send(report);
    }

    async fn run(&self, job: Job, shared: &Shared, orders: &Rc<Orders>) -> Result<()> {
        let cancel = &shared.cancel;
        if job.access().unwrap_or(&self.access).insecure {
            shared.tally.note(
                "certificates are not verified (--insecure): the store may be anybody, and see the \
                 data",
            );
        }
        let given = tasks::Given {
            access: &self.access,
            waits: &self.waits,
            #[cfg(feature = "sim")]
            opened: self.opened.as_ref(),
        };
        let ended = match job {
            Job::Download(job) => tasks::download(job, given, orders, cancel).await,
            Job::Upload(job) => tasks::upload(job, given, orders, cancel).await,
            Job::List(job) => tasks::list(&job, given, &shared.tally, cancel).await,
            Job::Delete(job) => tasks::delete(&job, given, &shared.tally, cancel).await,
            Job::Check(job) => tasks::check(&job, given, &shared.tally, cancel).await,
        };
        if shared.tally.cancelled() {
            return Err(cancelled());
        }
        ended.and_then(|()| shared.tally.settled())
    }
}

fn report(shared: &Shared, started: &std::time::Instant, before: Usage) -> Report {
    let after = usage::usage();
    Report {
        duration_s: started.elapsed().as_secs_f64(),
        usage: Usage { cpu_s: after.cpu_s - before.cpu_s, ..after },
        ..shared.tally.report()
    }
}
