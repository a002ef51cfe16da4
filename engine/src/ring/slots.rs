//! The in-flight table. A slot owns an operation's descriptors and buffers
//! from its start to its completion, also when nobody awaits it any more.

use std::io;
use std::task::Waker;

use super::Fd;
use super::op::{Call, Op, Outcome};

/// A slot's name in `user_data`: its place and how often that was used, so
/// that a late completion cannot be taken for a newer operation's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(pub(super) u64);

/// Places stay below this, which leaves the tokens above it to the drivers.
const PLACES_MAX: usize = 1 << 24;

/// Where an operation stands.
pub(super) enum Phase {
    /// Waiting for room in the driver, or for an older receive to end.
    Queued,
    /// The driver has it.
    Issued,
    /// Over; the outcome waits for its future.
    Done(Outcome),
}

/// An operation and those who wait for it.
pub(super) struct Slot {
    pub(super) fd: Fd,
    pub(super) other: Option<Fd>,
    /// `None` while a worker thread has it.
    pub(super) call: Option<Call>,
    pub(super) phase: Phase,
    pub(super) waker: Option<Waker>,
    /// Nobody awaits it; its resources go when the driver returns it.
    pub(super) abandoned: bool,
}

impl Slot {
    /// Keeps the outcome for the future, which the returned waker tells. It
    /// is woken outside of every borrow.
    pub(super) fn end(&mut self, outcome: Outcome) -> Waker {
        self.phase = Phase::Done(outcome);
        self.waker.take().unwrap_or_else(|| Waker::noop().clone())
    }
}

struct Entry {
    generation: u32,
    slot: Option<Slot>,
}

/// The table; bounded by the futures that await its slots plus those that the
/// driver has not yet returned.
pub(super) struct Slots {
    entries: Vec<Entry>,
    vacant: Vec<usize>,
}

impl Token {
    fn new(place: usize, generation: u32) -> Self {
        Self((u64::from(generation) << 32) | place as u64)
    }

    fn place(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    fn generation(self) -> u32 {
        #[allow(clippy::cast_possible_truncation)] // the upper half of 64 bits
        let generation = (self.0 >> 32) as u32;
        generation
    }
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), vacant: Vec::new() }
    }

    /// Slots that own something.
    pub(super) fn held(&self) -> usize {
        self.entries.len() - self.vacant.len()
    }

    /// Slots that nobody awaits.
    pub(super) fn abandoned(&self) -> usize {
        let slots = self.entries.iter().filter_map(|entry| entry.slot.as_ref());
        slots.filter(|slot| slot.abandoned).count()
    }

    /// Takes an operation in, or gives it back when the table is full.
    pub(super) fn insert(&mut self, op: Op) -> Result<Token, (io::Error, Op)> {
        let place = match self.vacant.pop() {
            Some(place) => place,
            None if self.entries.len() < PLACES_MAX => {
                self.entries.push(Entry { generation: 0, slot: None });
                self.entries.len() - 1
            }
            None => return Err((io::ErrorKind::OutOfMemory.into(), op)),
        };
        let Op { fd, other, call } = op;
        let entry = &mut self.entries[place];
        entry.slot = Some(Slot {
            fd,
            other,
            call: Some(call),
            phase: Phase::Queued,
            waker: None,
            abandoned: false,
        });
        Ok(Token::new(place, entry.generation))
    }

    /// The slot that `token` names, unless it was returned since.
    pub(super) fn get(&mut self, token: Token) -> Option<&mut Slot> {
        let entry = self.entries.get_mut(token.place())?;
        if entry.generation != token.generation() {
            return None;
        }
        entry.slot.as_mut()
    }

    /// Ends the slot and hands out what it owned.
    pub(super) fn remove(&mut self, token: Token) -> Option<Slot> {
        self.get(token)?;
        let entry = self.entries.get_mut(token.place())?;
        entry.generation = entry.generation.wrapping_add(1);
        self.vacant.push(token.place());
        entry.slot.take()
    }
}
