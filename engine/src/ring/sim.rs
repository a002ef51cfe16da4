//! The operations in a simulated world: sockets are pairs whose far ends the
//! world has, files are real and wait for their simulated time.
//!
//! What is due is tried in an order that the world chooses. An operation of a
//! world that is over does nothing.

mod drive;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::epoll::attempt;
use super::files::perform;
use super::hub::Completion;
use super::op::{Call, Outcome, Value, cancelled};
use super::slots::{Slot, Slots, Token};
use crate::error::{Error, ErrorKind};
use crate::sim::{self, Fate, Step, World};

/// Operations in flight; few, so that tests see them wait for room.
const IN_FLIGHT: usize = 64;

pub(super) struct Sim {
    world: Rc<dyn World>,
    /// Far ends of sockets that are not connected yet, by the near end.
    far_ends: BTreeMap<RawFd, OwnedFd>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    token: Token,
    due: Instant,
    fate: Fate,
    cancelled: bool,
}

impl Sim {
    pub(super) fn open() -> crate::Result<Self> {
        let outside = || Error::new(ErrorKind::Unsupported, "this thread lives in no simulation");
        let world = sim::world().ok_or_else(outside)?;
        Ok(Self { world, far_ends: BTreeMap::new(), waiting: Vec::new() })
    }

    pub(super) fn limit(&self) -> usize {
        IN_FLIGHT
    }

    /// The near end of a pair, to be connected.
    pub(super) fn socket(&mut self) -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        self.far_ends.insert(near.as_raw_fd(), far);
        Ok(near)
    }

    pub(super) fn submit(&mut self, token: Token, slot: &Slot) {
        let Some(call) = &slot.call else { return };
        let fate = self.world.fate(step(slot, call));
        self.waiting.push(Waiting { token, due: sim::now() + fate.after, fate, cancelled: false });
    }

    /// A socket's operation ends; a file's may still happen.
    pub(super) fn cancel(&mut self, token: Token, slot: &Slot) -> bool {
        let is_of_socket = slot.call.as_ref().is_some_and(on_socket);
        if is_of_socket {
            drop(self.far_end(slot));
            self.waiting.retain(|waiting| waiting.token != token);
        } else if self.world.pick(2) == 0 {
            let ours = self.waiting.iter_mut().find(|waiting| waiting.token == token);
            ours.into_iter().for_each(|waiting| waiting.cancelled = true);
        }
        is_of_socket
    }

    /// Tries what is due. Whoever may wait longer than not at all wants all of
    /// it: then everything is.
    pub(super) fn turn(
        &mut self,
        wait: Option<Duration>,
        slots: &mut Slots,
        done: &mut Vec<Completion>,
    ) {
        let (now, all) = (sim::now(), wait != Some(Duration::ZERO));
        let (mut due, mut later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| all || waiting.due <= now);
        while !due.is_empty() {
            let waiting = due.swap_remove(self.world.pick(due.len()));
            let Some(slot) = slots.get(waiting.token) else { continue };
            match self.end(slot, &waiting) {
                Some(outcome) => {
                    done.push(Completion { token: waiting.token, outcome, call: None });
                }
                None => later.push(waiting),
            }
        }
        self.waiting = later;
    }

    /// When the next operation is due that is not yet.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let now = sim::now();
        self.waiting.iter().map(|waiting| waiting.due).filter(|due| *due > now).min()
    }

    /// How it ended; `None` if it goes on.
    fn end(&mut self, slot: &mut Slot, waiting: &Waiting) -> Option<Outcome> {
        let far = self.far_end(slot);
        if waiting.cancelled || self.world.is_over() {
            return Some(Err(cancelled()));
        }
        if let Some(errno) = waiting.fate.fails {
            return Some(Err(errno.into()));
        }
        let Slot { fd, other, call, .. } = slot;
        match call.as_mut()? {
            Call::Connect { to } => {
                let to = std::net::SocketAddr::try_from((**to).clone()).ok();
                if let (Some(far), Some(to)) = (far, to) {
                    self.world.connected(to, far);
                }
                Some(Ok(Value::Nothing))
            }
            Call::Recv { .. } | Call::Send { .. } => self.try_socket(slot, waiting.fate.most),
            call => Some(perform(fd.as_fd(), other.as_ref().map(|other| other.as_fd()), call)),
        }
    }

    /// The far end of a socket whose connect ends, well or not.
    fn far_end(&mut self, slot: &Slot) -> Option<OwnedFd> {
        let connects = matches!(slot.call, Some(Call::Connect { .. }));
        connects.then(|| self.far_ends.remove(&slot.fd.as_raw_fd())).flatten()
    }

    /// One try on no more than `most` bytes.
    fn try_socket(&self, slot: &mut Slot, most: Option<usize>) -> Option<Outcome> {
        let most = most.unwrap_or(usize::MAX).max(1);
        let whole = match slot.call.as_mut()? {
            Call::Recv { into, .. } => cut(into.start, &mut into.end, most),
            Call::Send { slice } => cut(slice.start, &mut slice.end, most),
            _ => return None,
        };
        let tried = attempt(slot);
        match slot.call.as_mut()? {
            Call::Recv { into, .. } => into.end = whole,
            Call::Send { slice } => {
                slice.end = whole;
                self.world.sent();
            }
            _ => {}
        }
        tried
    }
}

/// Moves `end` to `most` bytes after `start` at most; answers where it was.
fn cut(start: usize, end: &mut usize, most: usize) -> usize {
    let least = (*end).min(start.saturating_add(most));
    std::mem::replace(end, least)
}

fn on_socket(call: &Call) -> bool {
    matches!(call, Call::Connect { .. } | Call::Recv { .. } | Call::Send { .. })
}

fn step<'a>(slot: &'a Slot, call: &'a Call) -> Step<'a> {
    match call {
        Call::Connect { to } => {
            let nowhere = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
            Step::Connect(std::net::SocketAddr::try_from((**to).clone()).unwrap_or(nowhere))
        }
        Call::Recv { .. } => Step::Recv,
        Call::Send { .. } => Step::Send,
        Call::Open { .. } => Step::Open,
        Call::Read { .. } => Step::Read,
        Call::Write { .. } => Step::Write,
        Call::Sync => Step::Sync,
        Call::Allocate { .. } => Step::Allocate,
        Call::Rename { from, .. } => Step::Rename(slot.fd.as_fd(), from),
        Call::Unlink { .. } => Step::Unlink,
        Call::Mkdir { .. } => Step::Mkdir,
    }
}
