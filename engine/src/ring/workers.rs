//! The CPU workers: a bounded pool for work that would keep the loop.

use std::any::Any;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::config::IoChoice;

/// At most this many threads; digests and decoders of one shard need no more.
const THREADS_MAX: usize = 2;

/// Work that waits in the pool; more of it waits with its future.
const WAITING_MAX: usize = 64;

type Work = Box<dyn FnOnce() + Send>;
type Room = Arc<Mutex<Vec<Waker>>>;

/// The pool; dropping it lets the running work end and joins the threads.
pub(super) struct Workers {
    works: Option<Sender<Work>>,
    /// Those who found the pool full.
    room: Room,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(super) fn start(choice: IoChoice) -> io::Result<Self> {
        let cpus = match choice {
            #[cfg(feature = "sim")]
            IoChoice::Sim => 0,
            _ => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let (works, waiting) = crossbeam_channel::bounded::<Work>(WAITING_MAX);
        let mut workers = Self { works: Some(works), room: Room::default(), threads: Vec::new() };
        for number in 0..cpus.min(THREADS_MAX) {
            let (waiting, room) = (waiting.clone(), Arc::clone(&workers.room));
            let named = std::thread::Builder::new().name(format!("osmo-cpu-{number}"));
            workers.threads.push(named.spawn(move || serve(&waiting, &room))?);
        }
        Ok(workers)
    }

    /// The output of `work`, done on a worker. Dropped before it began, the
    /// work is not done at all.
    pub(super) fn run<T, W>(&self, work: W) -> Running<'_, T>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let outlet = Arc::new(Mutex::new(Outlet { output: None, waiting: None }));
        let inlet = Arc::downgrade(&outlet);
        let work = Box::new(move || deliver(&inlet, work));
        Running { workers: self, work: Some(work), outlet }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.works = None;
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(waiting: &Receiver<Work>, room: &Mutex<Vec<Waker>>) {
    for work in waiting {
        // All of them: one whose future is gone must not swallow the wake.
        let wakers = std::mem::take(&mut *lock(room));
        wakers.into_iter().for_each(Waker::wake);
        work();
    }
}

struct Outlet<T> {
    output: Option<Result<T, Box<dyn Any + Send>>>,
    waiting: Option<Waker>,
}

fn deliver<T>(inlet: &Weak<Mutex<Outlet<T>>>, work: impl FnOnce() -> T) {
    if inlet.strong_count() == 0 {
        return;
    }
    // The panic goes on in the awaiting task, which owns what the work used.
    let output = catch_unwind(AssertUnwindSafe(work));
    let Some(outlet) = inlet.upgrade() else { return };
    let waiting = {
        let mut outlet = lock(&outlet);
        outlet.output = Some(output);
        outlet.waiting.take()
    };
    if let Some(waiting) = waiting {
        waiting.wake();
    }
}

/// Work on its way through the pool.
pub(super) struct Running<'a, T> {
    workers: &'a Workers,
    /// Until the pool has room for it.
    work: Option<Work>,
    outlet: Arc<Mutex<Outlet<T>>>,
}

impl<T> Running<'_, T> {
    /// Hands the work over, or waits for room.
    fn hand_over(&mut self, cx: &Context<'_>) {
        #[cfg(feature = "sim")]
        if self.workers.threads.is_empty() {
            // It wakes the task, which finds the output on a later turn.
            return self.work.take().into_iter().for_each(|work| work());
        }
        let (Some(work), Some(works)) = (self.work.take(), &self.workers.works) else { return };
        let Err(TrySendError::Full(work) | TrySendError::Disconnected(work)) = works.try_send(work)
        else {
            return;
        };
        lock(&self.workers.room).push(cx.waker().clone());
        // Room may have come up in between, and with it the wake gone by.
        if let Err(refused) = works.try_send(work) {
            self.work = Some(refused.into_inner());
        }
    }
}

impl<T> Future for Running<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let outlet = Arc::clone(&self.outlet);
        let mut outlet = lock(&outlet);
        match outlet.output.take() {
            Some(Ok(output)) => return Poll::Ready(output),
            Some(Err(panic)) => {
                drop(outlet);
                resume_unwind(panic)
            }
            None => outlet.waiting = Some(cx.waker().clone()),
        }
        drop(outlet);
        self.hand_over(cx);
        Poll::Pending
    }
}
