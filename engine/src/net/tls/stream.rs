//! A session on a socket: receives that decrypt in the caller's buffer,
//! glances that tell an answer from a ticket.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::ops::Range;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::fault::TlsFault;
use super::held::Held;
use super::session::Session;
use crate::mem::Buffer;
use crate::net::transport::{Glance, look};
use crate::ring::{Fd, Given, Ring};

/// The largest record that the protocol allows (RFC 5246 §6.2.3): header,
/// data, what a cipher may add.
pub const RECORD_BYTES_MAX: usize = 5 + (16 << 10) + 2048;
/// What a connection holds at most while data moves: one record.
pub const HELD_BYTES_USUAL: usize = RECORD_BYTES_MAX;
/// What it holds at most at all: a handshake message over many records.
const HELD_BYTES_MAX: usize = 96 << 10;
/// Records without data that one glance takes in; a peer that sends more has
/// nothing to say.
const GLANCE_ROUNDS: usize = 16;

/// An established session on its socket.
pub struct TlsStream {
    fd: Fd,
    state: RefCell<State>,
}

struct State {
    session: Session,
    held: Held,
    /// Shown once what came before it has been read.
    fault: Option<TlsFault>,
    /// A receive is under way, or was dropped, and nobody knows what it took.
    busy: bool,
}

/// Where the next bytes are received to.
enum Plan {
    Done(io::Result<usize>),
    /// Into the caller's room, behind this much ciphertext.
    InPlace(usize),
    /// At most this much, to be held.
    Aside(usize),
}

impl TlsStream {
    pub(super) fn new(fd: Fd, session: Session, held: Held) -> Self {
        let state = State { session, held, fault: None, busy: false };
        Self { fd, state: RefCell::new(state) }
    }

    /// The socket.
    pub fn fd(&self) -> &Fd {
        &self.fd
    }

    /// Receives some plaintext into `buffer[into]`, which is not empty; 0 is
    /// an end that the peer has announced.
    pub async fn recv(
        &self,
        ring: &Ring,
        mut buffer: Buffer,
        into: Range<usize>,
    ) -> Given<usize, Buffer> {
        loop {
            let plan = self.state.borrow_mut().plan(&mut buffer[into.clone()]);
            let span = match plan {
                Plan::Done(result) => return (result, buffer),
                Plan::InPlace(front) => into.start + front..into.end,
                Plan::Aside(limit) => into.start..into.end.min(into.start + limit),
            };
            let asked = span.len();
            self.state.borrow_mut().busy = true;
            let (received, back) = ring.recv(&self.fd, buffer, span).await;
            buffer = back;
            let mut state = self.state.borrow_mut();
            state.busy = false;
            let received = match received {
                Ok(0) => {
                    state.fault = Some(TlsFault::Cut);
                    return (Err(io::Error::other(TlsFault::Cut)), buffer);
                }
                Ok(received) => received,
                Err(fault) => return (Err(fault), buffer),
            };
            let room = &mut buffer[into.clone()];
            match plan {
                Plan::InPlace(front) => {
                    let made = state.open_in_place(room, front + received);
                    if made > 0 {
                        return (Ok(made), buffer);
                    }
                }
                Plan::Aside(limit) => {
                    state.held.push(&room[..received]);
                    if received == asked && asked < limit {
                        // A failure, or an end, shows at the next receive.
                        let _ = state.top_up(&self.fd, limit - asked);
                    }
                    state.open_held();
                }
                Plan::Done(_) => {}
            }
        }
    }

    /// Seals some of `plain` into `room`: bytes taken and made.
    ///
    /// # Errors
    /// The session has ended.
    pub fn seal(&self, plain: &[u8], room: &mut [u8]) -> Result<(usize, usize), TlsFault> {
        let State { session, held, .. } = &mut *self.state.borrow_mut();
        let sealed = session.seal(held.cipher(), plain, room)?;
        Ok((sealed.taken, sealed.made))
    }

    /// Whether data, or an end, has arrived. Takes in, without waiting, what
    /// is neither: tickets and key updates. The beginning of a record says
    /// nothing yet.
    pub fn glance(&self) -> Glance {
        let mut state = self.state.borrow_mut();
        for _ in 0..GLANCE_ROUNDS {
            if state.held.has_plain() {
                return Glance::Bytes;
            }
            if state.busy || state.fault.is_some() || state.session.is_closed() {
                return Glance::Closed;
            }
            // Most glances find nothing, and need no memory to know.
            match look(&self.fd) {
                Glance::Bytes => {}
                other => return other,
            }
            let Some(room) = state.room_to_hold() else { return Glance::Closed };
            match state.top_up(&self.fd, room) {
                Ok(0) => return Glance::Closed,
                Ok(_) => state.open_held(),
                Err(Errno::AGAIN | Errno::INTR) => return Glance::Quiet,
                Err(_) => return Glance::Closed,
            }
        }
        Glance::Closed
    }

    /// Whether nothing is there that an earlier answer did not use up.
    pub fn is_at_rest(&self) -> bool {
        self.glance() == Glance::Quiet && self.state.borrow().held.is_empty()
    }
}

impl State {
    fn plan(&mut self, room: &mut [u8]) -> Plan {
        if self.held.has_plain() {
            return Plan::Done(Ok(self.held.take_plain(room)));
        }
        if let Some(fault) = &self.fault {
            return Plan::Done(Err(io::Error::other(fault.clone())));
        }
        if self.session.is_closed() {
            return Plan::Done(Ok(0));
        }
        if self.busy {
            return Plan::Done(Err(io::Error::other("an earlier receive was given up")));
        }
        if self.held.cipher_bytes() + RECORD_BYTES_MAX <= room.len() {
            return Plan::InPlace(self.held.take_cipher(room));
        }
        match self.room_to_hold() {
            Some(limit) => Plan::Aside(limit),
            None => {
                let long = TlsFault::Broken("a handshake message without an end".to_owned());
                Plan::Done(Err(io::Error::other(long)))
            }
        }
    }

    /// How much may still be held: up to one record; more only while a
    /// handshake message comes in many.
    fn room_to_hold(&self) -> Option<usize> {
        let held = self.held.cipher_bytes();
        match HELD_BYTES_USUAL.saturating_sub(held) {
            0 if held < HELD_BYTES_MAX => Some(RECORD_BYTES_MAX),
            0 => None,
            room => Some(room),
        }
    }

    /// Opens `room[..filled]`, keeps what is left over; answers the plaintext.
    fn open_in_place(&mut self, room: &mut [u8], filled: usize) -> usize {
        let (opened, result) = self.session.open(&mut room[..filled]);
        self.held.push(&room[opened.taken..filled]);
        self.fault = result.err();
        opened.made
    }

    fn open_held(&mut self) {
        self.fault = self.held.open(&mut self.session).err();
    }

    /// Receives what is there already, up to `room` bytes more to hold.
    fn top_up(&mut self, fd: &Fd, room: usize) -> Result<usize, Errno> {
        self.held.push_with(room, |space| {
            rustix::net::recv(fd, space, RecvFlags::DONTWAIT).map(|(bytes, _)| bytes)
        })
    }
}

impl Drop for TlsStream {
    /// Says goodbye, where that can be done without waiting.
    fn drop(&mut self) {
        let State { session, held, .. } = self.state.get_mut();
        let mut room = [0; 256];
        let bytes = session.close(held.cipher(), &mut room);
        if bytes > 0 {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            // A peer that is gone needs no goodbye.
            let _ = rustix::net::send(&self.fd, &room[..bytes], flags);
        }
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsStream({:?})", self.fd)
    }
}
