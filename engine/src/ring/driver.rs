//! The two ways to perform an operation, chosen once when the ring opens.

use std::io;
use std::time::Duration;

use super::epoll::Epoll;
use super::hub::Completion;
use super::slots::{Slot, Slots, Token};
use super::uring::Uring;

/// How operations get done. A third, simulated one fits in as a variant: it
/// needs these four methods and nothing else.
#[allow(clippy::large_enum_variant)] // there is one per thread
pub(super) enum Driver {
    Uring(Uring),
    Epoll(Epoll),
}

impl Driver {
    /// Operations that it may hold at once.
    pub(super) fn limit(&self) -> usize {
        match self {
            Self::Uring(uring) => uring.limit(),
            Self::Epoll(epoll) => epoll.limit(),
        }
    }

    /// Begins the slot's operation; `Some` if that was all.
    pub(super) fn submit(&mut self, token: Token, slot: &mut Slot) -> Option<Completion> {
        match self {
            Self::Uring(uring) => uring.submit(token, slot),
            Self::Epoll(epoll) => epoll.submit(token, slot),
        }
    }

    /// Asks for an early end of an operation in flight. True if it has ended
    /// already and no completion will come.
    pub(super) fn cancel(&mut self, token: Token, slot: &Slot) -> bool {
        match self {
            Self::Uring(uring) => {
                uring.cancel(token, slot);
                false
            }
            Self::Epoll(epoll) => epoll.cancel(token, slot),
        }
    }

    /// Lets the kernel work, waits for at most `wait` (`None`: until
    /// something happens), and collects what ended.
    pub(super) fn turn(
        &mut self,
        wait: Option<Duration>,
        slots: &mut Slots,
        done: &mut Vec<Completion>,
    ) -> io::Result<()> {
        match self {
            Self::Uring(uring) => uring.turn(wait, slots, done),
            Self::Epoll(epoll) => epoll.turn(wait, slots, done),
        }
    }
}
