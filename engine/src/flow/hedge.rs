//! When a second request is worth its traffic.
//!
//! A wait is a *stall* once it has lasted longer than waits usually do. Usual is
//! learned from stalls that ended well by themselves: each doubles the patience,
//! and calm waits halve it again. So a store or a line that is slow as a whole is
//! soon not hedged. Neither is one that goes nowhere: while more than a quarter of
//! all waits stall, a second request needs four calm waits of others since the
//! stalled one began, for each that stalls.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// The least patience: above what a store takes to answer, below what a person
/// notices in a whole transfer.
const PATIENCE_LEAST: Duration = Duration::from_millis(300);
const PATIENCE_MOST: Duration = Duration::from_secs(16);
/// Calm waits that halve the patience.
const CALM: u32 = 64;
/// One part in so many of the traffic may be for hedges.
const SHARE: u64 = 50;
/// What may be spent before anything is earned.
const CREDIT: u64 = 16 << 20;

#[derive(Debug)]
struct State {
    patience: Duration,
    calm: u32,
    /// Calm waits so far.
    ended: u64,
    active: usize,
    stalled: usize,
    /// Bytes that may be asked for twice.
    allowance: u64,
}

/// One job's hedging on one shard. Not `Send`.
#[derive(Clone, Debug)]
pub struct Hedges(Rc<RefCell<State>>);

impl Default for Hedges {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(State {
            patience: PATIENCE_LEAST,
            calm: 0,
            ended: 0,
            active: 0,
            stalled: 0,
            allowance: CREDIT,
        })))
    }
}

impl Hedges {
    /// A request is under way for as long as the guard lives.
    pub fn active(&self) -> Active {
        self.0.borrow_mut().active += 1;
        Active(self.clone())
    }

    /// What a wait that begins now may later compare with.
    pub fn beginning(&self) -> Beginning {
        Beginning(self.0.borrow().ended)
    }

    /// How long a wait lasts before it is a stall.
    pub fn patience(&self) -> Duration {
        self.0.borrow().patience
    }

    /// A wait ended before it was a stall.
    pub fn calm(&self) {
        let mut state = self.0.borrow_mut();
        state.ended += 1;
        state.calm += 1;
        if state.calm >= CALM {
            state.calm = 0;
            state.patience = (state.patience / 2).max(PATIENCE_LEAST);
        }
    }

    /// A wait has become a stall, for as long as the guard lives.
    pub fn stalled(&self) -> Stalled {
        self.0.borrow_mut().stalled += 1;
        Stalled(self.clone())
    }

    /// Bytes arrived, and a part of them is earned.
    pub fn moved(&self, bytes: u64) {
        let mut state = self.0.borrow_mut();
        state.allowance = state.allowance.saturating_add(bytes / SHARE).min(CREDIT);
    }

    /// Whether `bytes`, awaited since `began`, may be asked for a second time; they
    /// are paid for.
    pub fn begins(&self, bytes: u64, began: Beginning) -> bool {
        let mut state = self.0.borrow_mut();
        let others = usize::try_from((state.ended - began.0) / 4).unwrap_or(usize::MAX);
        let go_on = state.stalled <= (state.active / 4).max(1).max(others);
        let may = go_on && bytes <= state.allowance;
        if may {
            state.allowance -= bytes;
        }
        may
    }

    /// The second request won: the first one's bytes never came.
    pub fn won(&self, bytes: u64) {
        let mut state = self.0.borrow_mut();
        state.allowance = state.allowance.saturating_add(bytes).min(CREDIT);
    }

    /// A stall ended well by itself.
    pub fn lost(&self) {
        let mut state = self.0.borrow_mut();
        state.calm = 0;
        state.patience = (state.patience * 2).min(PATIENCE_MOST);
    }
}

/// A moment, counted in calm waits.
#[derive(Clone, Copy, Debug)]
pub struct Beginning(u64);

/// A request under way.
#[derive(Debug)]
pub struct Active(Hedges);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.0.borrow_mut().active -= 1;
    }
}

/// A stalled wait.
#[derive(Debug)]
pub struct Stalled(Hedges);

impl Drop for Stalled {
    fn drop(&mut self) {
        self.0.0.borrow_mut().stalled -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: u64 = 8 << 20;

    #[test]
    fn patience_follows_what_is_usual() {
        let hedges = Hedges::default();
        assert_eq!(hedges.patience(), PATIENCE_LEAST);
        (0..3).for_each(|_| hedges.lost());
        assert_eq!(hedges.patience(), PATIENCE_LEAST * 8);
        (0..CALM * 2).for_each(|_| hedges.calm());
        assert_eq!(hedges.patience(), PATIENCE_LEAST * 2);
        (0..100).for_each(|_| hedges.lost());
        assert_eq!(hedges.patience(), PATIENCE_MOST);
    }

    #[test]
    fn no_more_than_a_fiftieth_is_spent() {
        let hedges = Hedges::default();
        let _active = hedges.active();
        let mut spent = 0;
        let mut arrived = 0;
        for _ in 0..10_000 {
            hedges.moved(PART);
            arrived += PART;
            if hedges.begins(PART, hedges.beginning()) {
                spent += PART;
            }
        }
        assert!(spent <= arrived / 50 + CREDIT, "{spent} of {arrived}");
        assert!(spent >= arrived / 60, "{spent} of {arrived}");
    }

    #[test]
    fn what_won_cost_nothing() {
        let hedges = Hedges::default();
        let _active = hedges.active();
        for _ in 0..1_000 {
            assert!(hedges.begins(PART, hedges.beginning()));
            hedges.won(PART);
        }
    }

    #[test]
    fn where_everything_stalls_nothing_is_asked_twice() {
        let hedges = Hedges::default();
        let _active: Vec<_> = (0..16).map(|_| hedges.active()).collect();
        let mut stalled = Vec::new();
        for number in 1..=16 {
            stalled.push(hedges.stalled());
            let began = hedges.beginning();
            assert_eq!(hedges.begins(1, began), number <= 4, "{number} of 16 stalled");
        }
        let began = hedges.beginning();
        stalled.truncate(4);
        assert!(hedges.begins(1, began));
    }

    #[test]
    fn who_is_left_behind_by_others_is_asked_again() {
        let hedges = Hedges::default();
        let _active: Vec<_> = (0..12).map(|_| hedges.active()).collect();
        let _stalled: Vec<_> = (0..12).map(|_| hedges.stalled()).collect();
        let began = hedges.beginning();
        (0..47).for_each(|_| hedges.calm());
        assert!(!hedges.begins(1, began));
        hedges.calm();
        assert!(hedges.begins(1, began));
        assert!(!hedges.begins(1, hedges.beginning()), "nobody has moved since");
    }
}
