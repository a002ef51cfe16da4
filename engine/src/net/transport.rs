//! The seam under HTTP/1.1: what carries a connection's bytes.
//!
//! Plain TCP, or a TLS session that encrypts and decrypts in our buffers;
//! neither `http1` nor the pool sees a difference.

use std::ops::Range;
use std::rc::Rc;

use rustix::net::{RecvFlags, Shutdown};

use super::error::NetError;
use super::tls::TlsStream;
use crate::mem::{Buffer, Slice};
use crate::ring::{Fd, Given, Ring};

/// A connected byte stream.
#[derive(Clone, Debug)]
pub enum Transport {
    /// TCP as it is.
    Plain(Fd),
    /// TLS over TCP.
    Tls(Rc<TlsStream>),
}

/// What an unsolicited look at the receive side finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// Nothing has arrived that is meant for the reader.
    Quiet,
    /// Bytes are waiting.
    Bytes,
    /// The peer has closed, or the connection is broken.
    Closed,
}

impl Transport {
    /// Receives some bytes into `buffer[into]`; 0 is the end.
    pub async fn recv(
        &self,
        ring: &Ring,
        buffer: Buffer,
        into: Range<usize>,
    ) -> Given<usize, Buffer> {
        match self {
            Self::Plain(fd) => ring.recv(fd, buffer, into).await,
            Self::Tls(stream) => stream.recv(ring, buffer, into).await,
        }
    }

    /// Sends some of the slice, which is ready for the wire.
    pub async fn send(&self, ring: &Ring, slice: Slice) -> Given<usize, Slice> {
        ring.send(self.fd(), slice).await
    }

    /// Makes some of `plain` ready for the wire, in `room`: bytes taken and
    /// made. `None` where bytes go as they are. What is made must be sent, all
    /// of it, before anything else.
    ///
    /// # Errors
    /// The session has ended.
    pub fn seal(&self, plain: &[u8], room: &mut [u8]) -> Result<Option<(usize, usize)>, NetError> {
        match self {
            Self::Plain(_) => Ok(None),
            Self::Tls(stream) => Ok(Some(stream.seal(plain, room)?)),
        }
    }

    /// Looks at the receive side without waiting. No byte that is meant for
    /// the reader is lost.
    pub fn glance(&self) -> Glance {
        match self {
            Self::Plain(fd) => look(fd),
            Self::Tls(stream) => stream.glance(),
        }
    }

    /// Whether the peer is there and has said nothing that nobody asked for:
    /// the connection may serve again.
    pub fn is_at_rest(&self) -> bool {
        match self {
            Self::Plain(fd) => look(fd) == Glance::Quiet,
            Self::Tls(stream) => stream.is_at_rest(),
        }
    }

    /// Ends the sending side, so that an operation stuck in it returns.
    pub fn stop_sending(&self) {
        self.shut(Shutdown::Write);
    }

    /// Ends both sides, so that every operation in flight returns.
    pub fn stop(&self) {
        self.shut(Shutdown::Both);
    }

    fn fd(&self) -> &Fd {
        match self {
            Self::Plain(fd) => fd,
            Self::Tls(stream) => stream.fd(),
        }
    }

    fn shut(&self, how: Shutdown) {
        // A connection that is already gone is what was wanted.
        let _ = rustix::net::shutdown(self.fd(), how);
    }
}

/// Looks at a socket's receive side without waiting or taking bytes.
pub(super) fn look(fd: &Fd) -> Glance {
    let mut byte = [0_u8; 1];
    match rustix::net::recv(fd, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, 0)) => Glance::Closed,
        Ok(_) => Glance::Bytes,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Glance::Quiet,
        Err(_) => Glance::Closed,
    }
}
