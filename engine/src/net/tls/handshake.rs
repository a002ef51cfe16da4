//! From a connected socket to an established session.

use std::io;

use super::held::Held;
use super::session::Session;
use super::{Tls, TlsStream};
use crate::error::{Error, ErrorKind};
use crate::mem::{Buffer, Slice};
use crate::net::error::NetError;
use crate::ring::{Fd, Ring};
use crate::waits::Patience;

/// Bytes that a server may send in a handshake, certificates and all.
const HANDSHAKE_BYTES_MAX: usize = 128 << 10;

impl Tls {
    /// Shakes hands with `host`, a name or an address, over a connected
    /// socket.
    ///
    /// # Errors
    /// The peer is not to be trusted, speaks no TLS, or is gone.
    pub async fn connect(
        &self,
        ring: &Ring,
        fd: Fd,
        host: &str,
        patience: &Patience,
    ) -> Result<TlsStream, NetError> {
        let config = self.client_config().map_err(NetError::Refused)?;
        let session = Session::new(config, host)?;
        let lease = self.rooms().map_err(NetError::Refused)?.lease(1).await;
        let Some(buffer) = lease.take() else {
            let none = Error::new(ErrorKind::Internal, "a handshake has no buffer");
            return Err(NetError::Refused(none));
        };
        let limit = patience.handshake;
        match ring.within(limit, shake(ring, fd, session, buffer)).await {
            Some(stream) => stream,
            None => Err(NetError::Silent { what: "no end of the TLS handshake came", limit }),
        }
    }
}

async fn shake(
    ring: &Ring,
    fd: Fd,
    mut session: Session,
    mut buffer: Buffer,
) -> Result<TlsStream, NetError> {
    let (mut held, mut received) = (Held::default(), 0);
    loop {
        let opened = held.open(&mut session);
        let (sent, back) = flush(ring, &fd, &mut session, buffer).await;
        buffer = back;
        // The peer's fault explains a send that failed.
        opened?;
        sent.map_err(NetError::Broken)?;
        if session.is_established() {
            return Ok(TlsStream::new(fd, session, held));
        }
        let all = 0..buffer.len();
        let (more, back) = ring.recv(&fd, buffer, all).await;
        buffer = back;
        let bytes = more.map_err(NetError::Broken)?;
        received += bytes;
        if bytes == 0 || session.is_closed() {
            let left = "the peer closed it within the TLS handshake";
            return Err(NetError::Broken(io::Error::new(io::ErrorKind::UnexpectedEof, left)));
        }
        if received > HANDSHAKE_BYTES_MAX {
            let endless = "the TLS handshake has no end";
            return Err(NetError::Broken(io::Error::other(endless)));
        }
        held.push(&buffer[..bytes]);
    }
}

/// Sends the outbox, a buffer at a time.
async fn flush(
    ring: &Ring,
    fd: &Fd,
    session: &mut Session,
    mut buffer: Buffer,
) -> (io::Result<()>, Buffer) {
    let outbox = std::mem::take(session.outbox());
    for piece in outbox.chunks(buffer.len().max(1)) {
        buffer[..piece.len()].copy_from_slice(piece);
        let mut slice = Slice { buffer, start: 0, end: piece.len() };
        while slice.start < slice.end {
            let (sent, back) = ring.send(fd, slice).await;
            slice = back;
            match sent {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), slice.buffer),
                Ok(bytes) => slice.start += bytes,
                Err(fault) => return (Err(fault), slice.buffer),
            }
        }
        buffer = slice.buffer;
    }
    (Ok(()), buffer)
}
