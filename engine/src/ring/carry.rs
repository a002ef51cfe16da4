//! What a receive that nobody awaits any more took off its socket.
//!
//! A dropped receive may still win against its cancellation. Its bytes belong
//! to whoever receives next, or the stream would have a hole; and the next
//! receive must not overtake it. The list is nearly always empty.

use std::io;
use std::ops::Range;
use std::rc::Rc;

use super::Fd;
use super::op::{Call, Outcome, Value};
use super::slots::Token;
use crate::mem::Buffer;

enum Left {
    /// Not yet returned by the driver.
    InFlight(Token),
    Bytes(Buffer, Range<usize>),
    /// A reset shows once; the next receive would see a clean end.
    Failed(io::Error),
}

struct Orphan {
    fd: Fd,
    left: Left,
}

/// Orphaned receives in the order in which they were issued. Bounded by the
/// receives in flight; an entry goes when its socket has no other owner.
#[derive(Default)]
pub(super) struct Carry {
    orphans: Vec<Orphan>,
}

/// What a new receive finds.
pub(super) enum Found {
    Nothing,
    /// It must wait until an older one has been returned.
    Older,
    Served(Outcome),
}

impl Carry {
    pub(super) fn is_empty(&self) -> bool {
        self.orphans.is_empty()
    }

    /// Remembers a receive in flight whose future is gone.
    pub(super) fn orphan(&mut self, fd: Fd, token: Token) {
        self.orphans.push(Orphan { fd, left: Left::InFlight(token) });
    }

    /// Keeps what a receive took that had ended unseen.
    pub(super) fn keep(&mut self, fd: Fd, call: Call, outcome: Outcome) {
        if let Some(left) = left_of(call, outcome) {
            self.orphans.push(Orphan { fd, left });
        }
    }

    /// Notes how an orphan ended; false if it was none.
    pub(super) fn landed(&mut self, token: Token, call: Call, outcome: Outcome) -> bool {
        let is = |orphan: &Orphan| matches!(orphan.left, Left::InFlight(t) if t == token);
        let Some(at) = self.orphans.iter().position(is) else { return false };
        match left_of(call, outcome) {
            Some(left) => self.orphans[at].left = left,
            None => drop(self.orphans.remove(at)),
        }
        true
    }

    /// Serves a new receive on `fd` from what was left over.
    pub(super) fn serve(&mut self, fd: &Fd, call: &mut Call) -> Found {
        let of_fd = |orphan: &Orphan| Rc::ptr_eq(&orphan.fd, fd);
        let Some(at) = self.orphans.iter().position(of_fd) else { return Found::Nothing };
        let Call::Recv { buffer, into } = call else { return Found::Nothing };
        match &mut self.orphans[at].left {
            Left::InFlight(_) => Found::Older,
            Left::Bytes(from, range) => {
                let count = range.len().min(into.len());
                buffer[into.start..into.start + count]
                    .copy_from_slice(&from[range.start..range.start + count]);
                range.start += count;
                if range.start == range.end {
                    self.orphans.remove(at);
                }
                Found::Served(Ok(Value::Bytes(count)))
            }
            Left::Failed(_) => match self.orphans.remove(at).left {
                Left::Failed(error) => Found::Served(Err(error)),
                Left::InFlight(_) | Left::Bytes(..) => Found::Nothing,
            },
        }
    }

    /// Takes out what belongs to sockets that nobody else holds; the caller
    /// drops it.
    pub(super) fn prune(&mut self) -> impl Sized + use<> {
        let gone = |orphan: &mut Orphan| {
            !matches!(orphan.left, Left::InFlight(_)) && Rc::strong_count(&orphan.fd) == 1
        };
        self.orphans.extract_if(.., gone).collect::<Vec<_>>()
    }
}

fn left_of(call: Call, outcome: Outcome) -> Option<Left> {
    let Call::Recv { buffer, into } = call else { return None };
    match outcome {
        Ok(Value::Bytes(count)) if count > 0 => {
            Some(Left::Bytes(buffer, into.start..into.start + count))
        }
        // The end of the stream shows again.
        Ok(_) => None,
        Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => None,
        Err(error) => Some(Left::Failed(error)),
    }
}
