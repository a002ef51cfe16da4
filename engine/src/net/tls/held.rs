//! What a connection holds between two receives: plaintext that found no
//! room, and the ciphertext of a record that is not whole yet.

use super::fault::TlsFault;
use super::session::Session;

/// `[ used │ plaintext │ used │ ciphertext ]`; no memory when both are empty.
#[derive(Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    plain_start: usize,
    plain_end: usize,
    cipher_start: usize,
}

impl Held {
    pub(super) fn has_plain(&self) -> bool {
        self.plain_start < self.plain_end
    }

    pub(super) fn cipher_bytes(&self) -> usize {
        self.bytes.len() - self.cipher_start
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_plain() && self.cipher_bytes() == 0
    }

    /// The ciphertext.
    pub(super) fn cipher(&mut self) -> &mut [u8] {
        &mut self.bytes[self.cipher_start..]
    }

    /// Moves plaintext to the front of `room`.
    pub(super) fn take_plain(&mut self, room: &mut [u8]) -> usize {
        let bytes = room.len().min(self.plain_end - self.plain_start);
        let end = self.plain_start + bytes;
        room[..bytes].copy_from_slice(&self.bytes[self.plain_start..end]);
        self.plain_start = end;
        self.free();
        bytes
    }

    /// Moves all ciphertext to the front of `room`, which has the space, when
    /// there is no plaintext.
    pub(super) fn take_cipher(&mut self, room: &mut [u8]) -> usize {
        let bytes = self.cipher_bytes();
        room[..bytes].copy_from_slice(&self.bytes[self.cipher_start..]);
        *self = Self::default();
        bytes
    }

    /// Adds received bytes behind the ciphertext.
    pub(super) fn push(&mut self, cipher: &[u8]) {
        if cipher.is_empty() {
            return;
        }
        self.settle();
        self.bytes.reserve_exact(cipher.len());
        self.bytes.extend_from_slice(cipher);
    }

    /// Adds what `receive` writes into at most `room` bytes.
    pub(super) fn push_with<E>(
        &mut self,
        room: usize,
        receive: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.settle();
        let filled = self.bytes.len();
        self.bytes.reserve_exact(room);
        self.bytes.resize(filled + room, 0);
        let received = receive(&mut self.bytes[filled..]);
        self.bytes.truncate(filled + received.as_ref().map_or(0, |bytes| *bytes));
        self.free();
        received
    }

    /// Opens the ciphertext where it is; only when there is no plaintext.
    pub(super) fn open(&mut self, session: &mut Session) -> Result<(), TlsFault> {
        let (opened, result) = session.open(&mut self.bytes[self.cipher_start..]);
        self.plain_start = self.cipher_start;
        self.plain_end = self.cipher_start + opened.made;
        self.cipher_start += opened.taken;
        self.free();
        result
    }

    /// Drops what is used up, once there is no plaintext.
    fn settle(&mut self) {
        if !self.has_plain() {
            self.bytes.drain(..self.cipher_start);
            (self.plain_start, self.plain_end, self.cipher_start) = (0, 0, 0);
        }
    }

    fn free(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}
