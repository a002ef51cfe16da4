//! A ring's state, and the life of an operation in it: started, queued when
//! there is no room, issued, finished or abandoned.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use super::Fd;
use super::carry::{Carry, Found};
use super::driver::Driver;
use super::hub::{Completion, Hub};
use super::op::{Call, Op, Outcome};
use super::setup::Capabilities;
use super::slots::{Phase, Slot, Slots, Token};
use super::tasks::Tasks;
use super::timers::Timers;
use super::workers::Workers;

/// Operations that may end without waiting between two turns; more of them
/// wait for the next one, so that a socket that always has bytes cannot keep
/// the loop to itself.
pub(super) const INSTANT_PER_TURN: u32 = 32;

pub(super) struct Core {
    // Dropped in this order: nothing may run when the slots go.
    pub(super) tasks: RefCell<Tasks>,
    pub(super) driver: RefCell<Driver>,
    pub(super) slots: RefCell<Slots>,
    pub(super) carry: RefCell<Carry>,
    /// Operations that wait for room in the driver, first come first served.
    queued: RefCell<VecDeque<Token>>,
    /// Receives that wait for an orphan on the same socket.
    parked: RefCell<Vec<Token>>,
    pub(super) in_flight: Cell<usize>,
    pub(super) timers: RefCell<Timers>,
    pub(super) hub: Arc<Hub>,
    pub(super) workers: Workers,
    /// Wakes that the loop has passed on, and those that were awaited.
    pub(super) wakes_passed: Cell<u64>,
    pub(super) wakes_seen: Cell<u64>,
    pub(super) wake_waiters: RefCell<Vec<Waker>>,
    pub(super) instant_left: Cell<u32>,
    pub(super) running: Cell<bool>,
    pub(super) capabilities: Capabilities,
    #[cfg(feature = "sim")]
    is_simulated: bool,
}

impl Core {
    pub(super) fn new(
        driver: Driver,
        hub: Arc<Hub>,
        workers: Workers,
        capabilities: Capabilities,
    ) -> Self {
        Self {
            #[cfg(feature = "sim")]
            is_simulated: matches!(driver, Driver::Sim(_)),
            tasks: RefCell::default(),
            driver: RefCell::new(driver),
            slots: RefCell::new(Slots::new()),
            carry: RefCell::default(),
            queued: RefCell::default(),
            parked: RefCell::default(),
            in_flight: Cell::new(0),
            timers: RefCell::default(),
            hub,
            workers,
            wakes_passed: Cell::new(0),
            wakes_seen: Cell::new(0),
            wake_waiters: RefCell::default(),
            instant_left: Cell::new(INSTANT_PER_TURN),
            running: Cell::new(false),
            capabilities,
        }
    }

    /// The ring's clock.
    pub(super) fn now(&self) -> Instant {
        #[cfg(feature = "sim")]
        if self.is_simulated {
            return crate::sim::now();
        }
        Instant::now()
    }

    /// Takes an operation in and begins it if there is room.
    pub(super) fn start(&self, op: Op) -> Result<Token, (io::Error, Op)> {
        let receives = matches!(op.call, Call::Recv { .. });
        let token = self.slots.borrow_mut().insert(op)?;
        if !(receives && self.served_by_carry(token)) {
            self.enqueue(token);
        }
        Ok(token)
    }

    fn enqueue(&self, token: Token) {
        let room = self.in_flight.get() < self.driver.borrow().limit();
        if room && self.queued.borrow().is_empty() {
            self.issue(token);
        } else {
            self.queued.borrow_mut().push_back(token);
        }
    }

    /// Whether what an older receive left decides about this one.
    fn served_by_carry(&self, token: Token) -> bool {
        let mut carry = self.carry.borrow_mut();
        if carry.is_empty() {
            return false;
        }
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get(token) else { return true };
        let Some(call) = slot.call.as_mut() else { return false };
        let waker = match carry.serve(&slot.fd, call) {
            Found::Nothing => return false,
            Found::Older => {
                self.parked.borrow_mut().push(token);
                return true;
            }
            Found::Served(outcome) => slot.end(outcome),
        };
        drop((slots, carry));
        waker.wake();
        true
    }

    fn issue(&self, token: Token) {
        self.in_flight.set(self.in_flight.get() + 1);
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get(token) else { return };
        slot.phase = Phase::Issued;
        let at_once = self.driver.borrow_mut().submit(token, slot);
        drop(slots);
        if let Some(completion) = at_once {
            self.finish(completion);
        }
    }

    /// Delivers an outcome to its slot, or frees the slot if nobody waits.
    pub(super) fn finish(&self, Completion { token, outcome, call }: Completion) {
        self.in_flight.set(self.in_flight.get() - 1);
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get(token) else { return };
        if call.is_some() {
            slot.call = call;
        }
        if !slot.abandoned {
            let waker = slot.end(outcome);
            drop(slots);
            waker.wake();
            return;
        }
        let gone = slots.remove(token);
        drop(slots);
        // Descriptors and buffers go outside of every borrow.
        let Some(Slot { fd, other, call: Some(call), .. }) = gone else { return };
        if matches!(call, Call::Recv { .. }) && self.carry.borrow_mut().landed(token, call, outcome)
        {
            self.unpark();
        }
        drop((fd, other));
    }

    /// Lets the receives on go that waited for an orphan.
    fn unpark(&self) {
        let parked = std::mem::take(&mut *self.parked.borrow_mut());
        for token in parked {
            if !self.served_by_carry(token) {
                self.enqueue(token);
            }
        }
    }

    /// Begins what waited for room.
    pub(super) fn issue_queued(&self) {
        while self.in_flight.get() < self.driver.borrow().limit() {
            let Some(token) = self.queued.borrow_mut().pop_front() else { break };
            self.issue(token);
        }
    }

    /// What the future of `token` sees now.
    pub(super) fn check(&self, token: Token, waker: &Waker) -> Poll<(Outcome, Call)> {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get(token) else { return Poll::Pending };
        if !matches!(slot.phase, Phase::Done(_)) {
            match &mut slot.waker {
                Some(kept) => kept.clone_from(waker),
                None => slot.waker = Some(waker.clone()),
            }
            return Poll::Pending;
        }
        let gone = slots.remove(token);
        drop(slots);
        match gone {
            Some(Slot { phase: Phase::Done(outcome), call: Some(call), .. }) => {
                Poll::Ready((outcome, call))
            }
            _ => Poll::Pending,
        }
    }

    /// Whether the operation has ended.
    pub(super) fn ended(&self, token: Token) -> bool {
        let mut slots = self.slots.borrow_mut();
        slots.get(token).is_some_and(|slot| matches!(slot.phase, Phase::Done(_)))
    }

    /// Whether an operation that ended at once may be seen at once.
    pub(super) fn instant(&self) -> bool {
        let left = self.instant_left.get();
        self.instant_left.set(left.saturating_sub(1));
        left > 0
    }

    /// The future of `token` is gone: cancels what runs, and abandons its
    /// slot to the driver.
    pub(super) fn abandon(&self, token: Token) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get(token) else { return };
        if matches!(slot.phase, Phase::Issued) {
            if !self.driver.borrow_mut().cancel(token, slot) {
                slot.abandoned = true;
                slot.waker = None;
                if matches!(slot.call, Some(Call::Recv { .. })) {
                    self.carry.borrow_mut().orphan(Fd::clone(&slot.fd), token);
                }
                return;
            }
            self.in_flight.set(self.in_flight.get() - 1);
        }
        let gone = slots.remove(token);
        drop(slots);
        self.queued.borrow_mut().retain(|queued| *queued != token);
        self.parked.borrow_mut().retain(|parked| *parked != token);
        if let Some(Slot { fd, call: Some(call), phase: Phase::Done(outcome), .. }) = gone {
            self.carry.borrow_mut().keep(fd, call, outcome);
        }
    }
}
