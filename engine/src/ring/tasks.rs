//! Local tasks: where their futures live and how they are woken.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::core::Core;
use super::hub::Hub;

/// A task's place and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TaskId {
    place: usize,
    generation: u64,
}

impl TaskId {
    /// The future that `block_on` runs.
    pub(super) const MAIN: Self = Self { place: usize::MAX, generation: 0 };
}

/// Wakes one task, from any thread; posts it once until it runs.
pub(super) struct TaskWake {
    id: TaskId,
    hub: Arc<Hub>,
    posted: AtomicBool,
}

impl TaskWake {
    pub(super) fn new(id: TaskId, hub: Arc<Hub>) -> Arc<Self> {
        Arc::new(Self { id, hub, posted: AtomicBool::new(false) })
    }

    /// Says that the task is about to run: what happens from now on needs
    /// another run.
    pub(super) fn begin(&self) {
        self.posted.store(false, Ordering::SeqCst);
    }
}

impl Wake for TaskWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.posted.swap(true, Ordering::SeqCst) {
            self.hub.post(|mail| mail.ready.push(self.id));
        }
    }
}

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

enum State {
    Vacant,
    Idle(LocalFuture, Arc<TaskWake>),
    /// Being polled; true once it was cancelled from within.
    Running(bool),
}

struct Entry {
    generation: u64,
    state: State,
}

/// The tasks of a ring.
#[derive(Default)]
pub(super) struct Tasks {
    entries: Vec<Entry>,
    vacant: Vec<usize>,
}

impl Tasks {
    /// Takes a task in and wakes it for its first run.
    pub(super) fn insert(&mut self, hub: &Arc<Hub>, future: LocalFuture) -> TaskId {
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.entries.push(Entry { generation: 0, state: State::Vacant });
            self.entries.len() - 1
        });
        let entry = &mut self.entries[place];
        let id = TaskId { place, generation: entry.generation };
        let wake = TaskWake::new(id, Arc::clone(hub));
        entry.state = State::Idle(future, Arc::clone(&wake));
        wake.wake();
        id
    }

    fn entry(&mut self, id: TaskId) -> Option<&mut Entry> {
        self.entries.get_mut(id.place).filter(|entry| entry.generation == id.generation)
    }

    fn vacate(&mut self, id: TaskId) {
        if let Some(entry) = self.entry(id) {
            entry.generation += 1;
            entry.state = State::Vacant;
            self.vacant.push(id.place);
        }
    }

    /// Takes the future out to be dropped by the caller, after its borrow.
    pub(super) fn cancel(&mut self, id: TaskId) -> Option<LocalFuture> {
        let entry = self.entry(id)?;
        if let State::Running(cancelled) = &mut entry.state {
            *cancelled = true;
            return None;
        }
        let State::Idle(future, _) = std::mem::replace(&mut entry.state, State::Vacant) else {
            return None;
        };
        self.vacate(id);
        Some(future)
    }

    /// Takes some task out to be dropped; `None` when there is none.
    pub(super) fn cancel_any(&mut self) -> Option<LocalFuture> {
        let idle = |entry: &Entry| matches!(entry.state, State::Idle(..));
        let place = self.entries.iter().position(idle)?;
        self.cancel(TaskId { place, generation: self.entries[place].generation })
    }
}

/// Polls a task, unless it is gone. The futures run and die outside of the
/// table's borrow, since both may spawn and cancel.
pub(super) fn run(tasks: &RefCell<Tasks>, id: TaskId) {
    let taken = {
        let mut tasks = tasks.borrow_mut();
        let Some(entry) = tasks.entry(id) else { return };
        match std::mem::replace(&mut entry.state, State::Running(false)) {
            State::Idle(future, wake) => (future, wake),
            other => {
                entry.state = other;
                return;
            }
        }
    };
    let (mut future, wake) = taken;
    wake.begin();
    let waker = Waker::from(Arc::clone(&wake));
    let ended = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
    let mut tasks = tasks.borrow_mut();
    let Some(entry) = tasks.entry(id) else { return };
    if ended || matches!(entry.state, State::Running(true)) {
        tasks.vacate(id);
        drop(tasks);
        drop(future);
    } else {
        entry.state = State::Idle(future, wake);
    }
}

/// Where a task leaves its output for its handle.
pub(super) struct Outlet<T> {
    output: Option<T>,
    waiting: Option<Waker>,
}

impl<T> Outlet<T> {
    pub(super) fn new() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { output: None, waiting: None }))
    }

    pub(super) fn fill(outlet: &RefCell<Self>, output: T) {
        let waiting = {
            let mut outlet = outlet.borrow_mut();
            outlet.output = Some(output);
            outlet.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    pub(super) fn poll(outlet: &RefCell<Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut outlet = outlet.borrow_mut();
        if let Some(output) = outlet.output.take() {
            return Poll::Ready(output);
        }
        outlet.waiting = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A spawned task; dropping it cancels the task.
pub struct Task<T> {
    pub(super) core: Rc<Core>,
    /// `None` once it is detached.
    pub(super) id: Option<TaskId>,
    pub(super) outlet: Rc<RefCell<Outlet<T>>>,
}

impl<T> Task<T> {
    /// Lets the task run on without its handle.
    pub fn detach(mut self) {
        self.id = None;
    }
}

impl<T> Future for Task<T> {
    type Output = T;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Outlet::poll(&self.outlet, cx)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let future = self.core.tasks.borrow_mut().cancel(id);
            drop(future);
        }
    }
}
