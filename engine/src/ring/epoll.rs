//! The operations over readiness: sockets by edge-triggered epoll, files by
//! the worker pool.
//!
//! A socket operation is tried at once; only when it would block does it join
//! its descriptor's queue. A descriptor is registered once, for both ways and
//! edge-triggered. No edge is lost: an operation waits only after a try that
//! would have blocked, and what arrives after such a try raises a new edge.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags};

use super::Fd;
use super::files::Files;
use super::hub::{Completion, Hub};
use super::op::{Call, Outcome, Value, within};
use super::slots::{Slot, Slots, Token};

/// Operations in flight, as many as the other driver takes.
const IN_FLIGHT: usize = 510;

/// Events taken per turn; what is left stays ready for the next one.
const EVENTS_PER_TURN: usize = 128;

/// The event data of the hub's eventfd; no registration reaches it.
const WAKE: u64 = u64::MAX;

/// A registered descriptor and who waits for it, first come first served.
struct Watch {
    /// Which file it was registered for: a number alone is used again.
    file: Weak<OwnedFd>,
    serial: u32,
    readers: VecDeque<Token>,
    writers: VecDeque<Token>,
}

pub(super) struct Epoll {
    poll: OwnedFd,
    hub: Arc<Hub>,
    files: Files,
    /// At most one per descriptor number.
    watches: HashMap<RawFd, Watch>,
    serial_next: u32,
    events: Vec<Event>,
}

/// Which queue an operation waits in.
#[derive(Clone, Copy)]
enum Side {
    Read,
    Write,
}

impl Epoll {
    pub(super) fn open(hub: &Arc<Hub>) -> io::Result<Self> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&poll, hub.as_fd(), EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Self {
            poll,
            hub: Arc::clone(hub),
            files: Files::start(hub)?,
            watches: HashMap::new(),
            serial_next: 0,
            events: Vec::with_capacity(EVENTS_PER_TURN),
        })
    }

    pub(super) fn limit(&self) -> usize {
        IN_FLIGHT
    }

    pub(super) fn submit(&mut self, token: Token, slot: &mut Slot) -> Option<Completion> {
        let Some(side) = slot.call.as_ref().and_then(Side::of) else {
            self.files.submit(token, slot);
            return None;
        };
        let ended = |outcome| Some(Completion { token, outcome, call: None });
        // Those who wait longer go first.
        let queued = self.watch_of(&slot.fd).is_some_and(|watch| !watch.queue(side).is_empty());
        if !queued && let Some(outcome) = attempt(slot) {
            return ended(outcome);
        }
        match self.watch(&slot.fd) {
            Ok(watch) => watch.queue(side).push_back(token),
            Err(refused) => return ended(Err(refused)),
        }
        None
    }

    pub(super) fn cancel(&mut self, token: Token, slot: &Slot) -> bool {
        let Some(side) = slot.call.as_ref().and_then(Side::of) else { return false };
        if let Some(watch) = self.watch_of(&slot.fd) {
            watch.queue(side).retain(|waiting| *waiting != token);
        }
        true
    }

    pub(super) fn turn(
        &mut self,
        wait: Option<Duration>,
        slots: &mut Slots,
        done: &mut Vec<Completion>,
    ) -> io::Result<()> {
        let wait = wait.map(whole_milliseconds);
        self.events.clear();
        let room = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.poll, room, wait.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(refused) => return Err(refused.into()),
        }
        for at in 0..self.events.len() {
            let Event { flags, data } = self.events[at];
            if data.u64() == WAKE {
                self.hub.quiet();
            } else {
                self.advance(data.u64(), flags, slots, done);
            }
        }
        Ok(())
    }

    /// Tries those who wait for the descriptor, in order, until one blocks.
    fn advance(
        &mut self,
        data: u64,
        flags: EventFlags,
        slots: &mut Slots,
        done: &mut Vec<Completion>,
    ) {
        let Some(watch) = named(&mut self.watches, data) else { return };
        let broken = EventFlags::ERR | EventFlags::HUP;
        let sides =
            [(Side::Read, EventFlags::IN | EventFlags::RDHUP), (Side::Write, EventFlags::OUT)];
        for (side, ready) in sides {
            if !flags.intersects(ready | broken) {
                continue;
            }
            while let Some(&token) = watch.queue(side).front() {
                if let Some(slot) = slots.get(token) {
                    let Some(outcome) = attempt(slot) else { break };
                    done.push(Completion { token, outcome, call: None });
                }
                watch.queue(side).pop_front();
            }
        }
    }

    /// The watch of this very file, if it has one.
    fn watch_of(&mut self, fd: &Fd) -> Option<&mut Watch> {
        let watch = self.watches.get_mut(&fd.as_raw_fd())?;
        std::ptr::eq(watch.file.as_ptr(), Rc::as_ptr(fd)).then_some(watch)
    }

    /// The watch of this file, registered if it was not.
    fn watch(&mut self, fd: &Fd) -> io::Result<&mut Watch> {
        let number = fd.as_raw_fd();
        if self.watch_of(fd).is_none() {
            let serial = self.serial_next;
            self.serial_next = self.serial_next.wrapping_add(1) & 0x7fff_ffff;
            let data =
                EventData::new_u64(u64::from(serial) << 32 | u64::from(number.cast_unsigned()));
            let edges = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            match epoll::add(&self.poll, fd, data, edges) {
                // A second owner of the same descriptor number, or a file that
                // lives on in another descriptor: the registration becomes ours.
                Err(Errno::EXIST) => epoll::modify(&self.poll, fd, data, edges)?,
                other => other?,
            }
            let file = Rc::downgrade(fd);
            let (readers, writers) = (VecDeque::new(), VecDeque::new());
            self.watches.insert(number, Watch { file, serial, readers, writers });
        }
        self.watches.get_mut(&number).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// The watch that an event's data names, unless its file is gone.
fn named(watches: &mut HashMap<RawFd, Watch>, data: u64) -> Option<&mut Watch> {
    let number = u32::try_from(data & 0xffff_ffff).ok()?.cast_signed();
    let watch = watches.get_mut(&number)?;
    (u64::from(watch.serial) == data >> 32).then_some(watch)
}

impl Watch {
    fn queue(&mut self, side: Side) -> &mut VecDeque<Token> {
        match side {
            Side::Read => &mut self.readers,
            Side::Write => &mut self.writers,
        }
    }
}

impl Side {
    /// `None` for what files do.
    fn of(call: &Call) -> Option<Self> {
        match call {
            Call::Recv { .. } => Some(Self::Read),
            Call::Connect { .. } | Call::Send { .. } => Some(Self::Write),
            Call::Open { .. }
            | Call::Read { .. }
            | Call::Write { .. }
            | Call::Sync
            | Call::Allocate { .. }
            | Call::Rename { .. }
            | Call::Unlink { .. }
            | Call::Mkdir { .. } => None,
        }
    }
}

/// One try; `None` if it would block.
pub(super) fn attempt(slot: &mut Slot) -> Option<Outcome> {
    let fd = slot.fd.as_fd();
    let result = match slot.call.as_mut()? {
        Call::Recv { buffer, into } => {
            let bytes = match within(buffer, into) {
                Ok(bytes) => bytes,
                Err(refused) => return Some(Err(refused)),
            };
            let recv = || rustix::net::recv(fd, &mut *bytes, RecvFlags::DONTWAIT);
            retry_on_intr(recv).map(|(count, _)| Value::Bytes(count))
        }
        Call::Send { slice } => {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            retry_on_intr(|| rustix::net::send(fd, slice.bytes(), flags)).map(Value::Bytes)
        }
        // Asking again tells how the first request stands.
        Call::Connect { to } => match rustix::net::connect(fd, to.as_ref()) {
            Ok(()) | Err(Errno::ISCONN) => Ok(Value::Nothing),
            Err(Errno::INPROGRESS | Errno::ALREADY | Errno::INTR) => Err(Errno::AGAIN),
            Err(refused) => Err(refused),
        },
        _ => Err(Errno::INVAL),
    };
    match result {
        Err(Errno::AGAIN) => None,
        other => Some(other.map_err(io::Error::from)),
    }
}

/// Rounded up: the plain `epoll_wait` that old kernels and strict sandboxes
/// know counts milliseconds, and a timer must not go off early.
fn whole_milliseconds(wait: Duration) -> Timespec {
    let ms = wait.as_nanos().div_ceil(1_000_000).min(86_400_000);
    #[allow(clippy::cast_possible_truncation)] // a day in milliseconds
    let ms = ms as i64;
    Timespec { tv_sec: ms / 1000, tv_nsec: (ms % 1000) * 1_000_000 }
}
