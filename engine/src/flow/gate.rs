//! The queue in front of a [`Window`]: one thread's tasks wait here, first
//! come first served.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::flow::Window;

#[derive(Debug)]
struct State {
    window: Window,
    inside: usize,
    next: u64,
    waiting: VecDeque<(u64, Waker)>,
}

impl State {
    fn wake_first(&self) {
        if self.inside < self.window.limit()
            && let Some((_, waker)) = self.waiting.front()
        {
            waker.wake_by_ref();
        }
    }
}

/// Lets as many tasks in as the window allows. Not `Send`.
#[derive(Clone, Debug)]
pub struct Gate(Rc<RefCell<State>>);

impl Gate {
    /// A gate in front of `window`.
    pub fn new(window: Window) -> Self {
        let state = State { window, inside: 0, next: 0, waiting: VecDeque::new() };
        Self(Rc::new(RefCell::new(state)))
    }

    /// Waits for a place.
    pub fn enter(&self) -> Entering {
        Entering { gate: self.clone(), ticket: None }
    }

    /// A part arrived.
    pub fn succeeded(&self) {
        let mut state = self.0.borrow_mut();
        state.window.succeeded();
        state.wake_first();
    }

    /// The store asked for less load.
    pub fn throttled(&self, now: Instant) {
        self.0.borrow_mut().window.throttled(now);
    }
}

/// A place inside; given back when dropped.
#[derive(Debug)]
pub struct Pass(Gate);

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.0.0.borrow_mut();
        state.inside -= 1;
        state.wake_first();
    }
}

/// A task in the queue.
#[derive(Debug)]
pub struct Entering {
    gate: Gate,
    ticket: Option<u64>,
}

impl Future for Entering {
    type Output = Pass;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Pass> {
        let gate = self.gate.clone();
        let mut state = gate.0.borrow_mut();
        let first = match (self.ticket, state.waiting.front()) {
            (_, None) => true,
            (Some(mine), Some((ticket, _))) => mine == *ticket,
            (None, Some(_)) => false,
        };
        if first && state.inside < state.window.limit() {
            state.inside += 1;
            if self.ticket.take().is_some() {
                state.waiting.pop_front();
            }
            state.wake_first();
            drop(state);
            return Poll::Ready(Pass(gate));
        }
        match self.ticket {
            Some(mine) => {
                if let Some(place) = state.waiting.iter_mut().find(|(ticket, _)| *ticket == mine) {
                    place.1.clone_from(cx.waker());
                }
            }
            None => {
                let ticket = state.next;
                state.next += 1;
                state.waiting.push_back((ticket, cx.waker().clone()));
                drop(state);
                self.ticket = Some(ticket);
            }
        }
        Poll::Pending
    }
}

impl Drop for Entering {
    fn drop(&mut self) {
        if let Some(mine) = self.ticket {
            let mut state = self.gate.0.borrow_mut();
            state.waiting.retain(|(ticket, _)| *ticket != mine);
            state.wake_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    fn poll<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn admits_in_order_and_as_many_as_the_window_allows() {
        let gate = Gate::new(Window::new(1, 1));
        let first = poll(pin!(gate.enter()));
        assert!(first.is_some());
        let mut second = Box::pin(gate.enter());
        let mut third = Box::pin(gate.enter());
        assert!(poll(second.as_mut()).is_none());
        assert!(poll(third.as_mut()).is_none());
        drop(first);
        assert!(poll(third.as_mut()).is_none(), "overtook the second");
        let pass = poll(second.as_mut());
        assert!(pass.is_some());
        drop(pass);
        assert!(poll(third.as_mut()).is_some());
    }

    #[test]
    fn who_leaves_the_queue_blocks_nobody() {
        let gate = Gate::new(Window::new(1, 1));
        let first = poll(pin!(gate.enter()));
        let mut second = Box::pin(gate.enter());
        let mut third = Box::pin(gate.enter());
        assert!(poll(second.as_mut()).is_none());
        assert!(poll(third.as_mut()).is_none());
        drop(second);
        drop(first);
        assert!(poll(third.as_mut()).is_some());
    }
}
