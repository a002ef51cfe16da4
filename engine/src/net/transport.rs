//! The seam under HTTP/1.1: what carries a connection's bytes.
//!
//! Plain TCP today. A TLS session that encrypts and decrypts in our buffers
//! becomes a second variant; neither `http1` nor the pool sees a difference.

use rustix::net::{RecvFlags, Shutdown};

use crate::mem::{Buffer, Slice};
use crate::ring::{Fd, Given, Ring};

/// A connected byte stream.
#[derive(Clone, Debug)]
pub enum Transport {
    /// TCP as it is.
    Plain(Fd),
}

/// What an unsolicited look at the receive side finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// Nothing has arrived.
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
        into: std::ops::Range<usize>,
    ) -> Given<usize, Buffer> {
        match self {
            Self::Plain(fd) => ring.recv(fd, buffer, into).await,
        }
    }

    /// Sends some of the slice.
    pub async fn send(&self, ring: &Ring, slice: Slice) -> Given<usize, Slice> {
        match self {
            Self::Plain(fd) => ring.send(fd, slice).await,
        }
    }

    /// Looks at the receive side without waiting or taking bytes.
    pub fn glance(&self) -> Glance {
        let Self::Plain(fd) = self;
        let mut byte = [0_u8; 1];
        match rustix::net::recv(fd, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((_, 0)) => Glance::Closed,
            Ok(_) => Glance::Bytes,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Glance::Quiet,
            Err(_) => Glance::Closed,
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

    fn shut(&self, how: Shutdown) {
        let Self::Plain(fd) = self;
        // A connection that is already gone is what was wanted.
        let _ = rustix::net::shutdown(fd, how);
    }
}
